// Shows a thumbnail as soon as the worker has made it.
const feed = new WebSocket(location.origin.replace(/^http/, "ws") + "/ws");
feed.addEventListener("message", ({ data }) => {
  const { job } = JSON.parse(data);
  const small = job.result?.thumbnail;
  if (!small) return;
  const name = small.replace("-small.jpg", "");
  for (const image of document.querySelectorAll(`.photos img[src^="${name}."]`)) {
    image.src = small;
  }
});
