// What the page knows of bookings; the backend, and in the end its database, decides.

export function clash(bookings, wanted) {
    return bookings.find(
        (other) =>
            other.car === wanted.car &&
            new Date(other.starts) < new Date(wanted.ends) &&
            new Date(wanted.starts) < new Date(other.ends),
    );
}

export function span({ starts, ends }, locale = undefined) {
    const shown = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'short' });
    return `${shown.format(new Date(starts))} to ${shown.format(new Date(ends))}`;
}

export async function ask(path, options = {}) {
    const answer = await fetch(`/api/${path}`, { headers: { 'Content-Type': 'application/json' }, ...options });
    if (answer.status === 204) {
        return null;
    }
    const body = await answer.json().catch(() => ({ error: `the server answers ${answer.status}` }));
    if (!answer.ok) {
        throw new Error(body.error);
    }
    return body;
}
