// Which release of a site is live, as SLOT:RELEASE: what the control server was last told, else what sites/NAME.live
// says. The shared dictionary outlives a reload; the file outlives a restart.
import fs from 'fs';

const FORM = /^(blue|green):[0-9]{14}$/;
const SITES = '/etc/nginx/wharfinger/sites';

function value(r) {
    return ngx.shared.wharfinger_live.get(r.variables.wharfinger_site) || r.variables.wharfinger_default || '';
}

// In a site's own server on the control socket: what it takes to be live.
function show(r) {
    r.return(200, `${value(r)}\n`);
}

// PUT and GET /live/NAME
async function control(r) {
    const site = r.variables.wharfinger_site;
    if (r.method === 'GET') {
        const answer = await r.subrequest(`/current/${site}`);
        r.return(answer.status, answer.responseText);
    } else if (r.method === 'PUT') {
        const live = (r.requestText || '').trim();
        if (!FORM.test(live)) {
            r.return(400, 'the body must be SLOT:RELEASE, such as green:20261120143000\n');
            return;
        }
        ngx.shared.wharfinger_live.set(site, live);
        r.return(200, `${live}\n`);
    } else {
        r.return(405);
    }
}

// GET /live
async function list(r) {
    const files = fs.readdirSync(SITES).filter((name) => name.endsWith('.live')).sort();
    let lines = '';
    for (let i = 0; i < files.length; i++) {
        const site = files[i].slice(0, -'.live'.length);
        const answer = await r.subrequest(`/current/${site}`);
        lines += answer.status === 200 ? `${site} ${answer.responseText}` : '';
    }
    r.return(200, lines);
}

export default { value, show, control, list };
