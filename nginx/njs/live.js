// Which release of a site is live, as SLOT:RELEASE: what the control server was last told, else what sites/NAME.live
// says. The shared dictionary outlives a reload; the file outlives a restart.
import fs from 'fs';

const FORM = /^(blue|green):[0-9]{14}$/;
const SITES = '/etc/nginx/wharfinger/sites';

function value(r) {
    return ngx.shared.wharfinger_live.get(r.variables.wharfinger_site) || r.variables.wharfinger_default || '';
}

// What a request takes to be live when its head has come, and is counted by until its end. Once it is counted it looks
// again: whoever switches in between may have found nothing under way, and stops what this was about to choose.
function chosen(r) {
    for (;;) {
        const live = value(r);
        if (!live) {
            return live;
        }
        const flight = `${r.variables.wharfinger_site} ${live}`;
        ngx.shared.wharfinger_flights.incr(flight, 1);
        if (value(r) === live) {
            r.variables.wharfinger_flight = flight;
            return live;
        }
        ngx.shared.wharfinger_flights.incr(flight, -1);
    }
}

// The port where the request's service is to be reached by the name of its slot, and nothing where by its group.
function portByName(r) {
    const until = ngx.shared.wharfinger_live.get(`${r.variables.wharfinger_site} by name`);
    return until && Date.now() < Number(until) ? r.variables.wharfinger_port : '';
}

// What the access log asks at the end of every request; it is nothing to write down.
function landed(r) {
    if (r.variables.wharfinger_live && r.variables.wharfinger_flight) {
        ngx.shared.wharfinger_flights.incr(r.variables.wharfinger_flight, -1);
        r.variables.wharfinger_flight = '';
    }
    return '';
}

const WAITED = 200;  // ms; a worker that is to go waits no longer for who waits here
const LOOK_PAUSE = 10;  // ms

// GET /flights/NAME/RELEASE
async function flights(r) {
    const of = (slot) => ngx.shared.wharfinger_flights.get(
        `${r.variables.wharfinger_site} ${slot}:${r.variables.flown}`) || 0;
    const deadline = Date.now() + Math.min(Number(r.args.within) || 0, WAITED);
    while (of('blue') + of('green') > 0 && Date.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, LOOK_PAUSE));
    }
    r.return(200, `${of('blue') + of('green')}\n`);
}

// In a site's own server on the control socket: what it takes to be live.
function show(r) {
    r.return(200, `${value(r)}\n`);
}

const PROBED_WITHIN = 10000;  // ms
const PROBE_PAUSE = 30;  // ms
const PROBE = /^[a-z0-9_-]+\/[A-Za-z0-9._~/-]*$/;
const OUR_OWN = [502, 503, 504];  // what Nginx answers for a service that it cannot reach
const BY_NAME_FOR = 3000;  // ms; a group knows a slot's addresses two seconds after their containers start

// Nginx itself must reach every service of a slot before traffic goes there, be it by its group, which looks a name up
// every two seconds, or by its name, looked up for each request. Whatever the service answers will do: whether it is
// well, its health check has told. It is asked again until the time is up, or until somebody else wants the site's
// traffic elsewhere: whoever asked may have been killed meanwhile.
// Returns what is wrong, if anything, and whether a service was reached only by its name.
async function reach(r, slot, probes) {
    const site = r.variables.wharfinger_site;
    const deadline = Date.now() + PROBED_WITHIN;
    ngx.shared.wharfinger_live.set(`${site} turn`, r.variables.request_id);
    let byName = false;
    for (let i = 0; i < probes.length; i++) {
        if (!PROBE.test(probes[i])) {
            return { wrong: `a probe is SERVICE/PATH, and not ${probes[i]}` };
        }
        for (;;) {
            const answer = await r.subrequest(`/reach/${site}/${slot}/${probes[i]}`);
            if (ngx.shared.wharfinger_live.get(`${site} turn`) !== r.variables.request_id) {
                return { wrong: 'somebody else switched meanwhile' };
            }
            if (OUR_OWN.indexOf(answer.status) < 0) {
                break;
            }
            const named = await r.subrequest(`/by-name/${site}/${slot}/${probes[i]}`);
            if (named.headersOut['X-Wharfinger-By-Name'] && OUR_OWN.indexOf(named.status) < 0) {
                byName = true;
                break;
            }
            if (Date.now() > deadline) {
                return { wrong: `${probes[i]}: Nginx answers ${answer.status}` };
            }
            await new Promise((resolve) => setTimeout(resolve, PROBE_PAUSE));
        }
    }
    return { byName };
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
        const reached = await reach(r, live.split(':')[0], [].concat(r.args.probe || []));
        if (reached.wrong) {
            r.return(502, `${reached.wrong}\n`);
            return;
        }
        ngx.shared.wharfinger_live.set(`${site} by name`, String(reached.byName ? Date.now() + BY_NAME_FOR : 0));
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

export default { value, chosen, portByName, landed, flights, show, control, list };
