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

// For some time after a switch requests go by a name that only what is live has, looked up for each, and not by the group
// of its slot, which looks up every two seconds and may know nothing of the release yet. As `SLOT:RELEASE UNTIL`, in ms:
// what of a site goes or went by its name, as long as any worker may remember the addresses of then.
const BY_NAME_FOR = 3000;
const REMEMBERED = 2000;

function names(site) {
    const kept = (ngx.shared.wharfinger_live.get(`${site} by name`) || '').split('\n').filter((line) => line);
    return kept.map((line) => ({ live: line.split(' ')[0], until: Number(line.split(' ')[1]) }))
        .filter((name) => Date.now() < name.until + REMEMBERED);
}

function keepNames(site, kept) {
    const lines = kept.map((name) => `${name.live} ${name.until}`);
    ngx.shared.wharfinger_live.set(`${site} by name`, lines.join('\n'));
}

// What stands for a live value in a host's name; nothing where it goes by the group.
function byName(site, live) {
    const goes = names(site).some((name) => name.live === live && Date.now() < name.until);
    return goes ? inName(live) : '';
}

function inName(live) {
    return live.replace(':', '-');
}

function named(r) {
    return byName(r.variables.wharfinger_site, r.variables.wharfinger_live);
}

function namedByNow(r) {
    return byName(r.variables.wharfinger_site, r.variables.wharfinger_live_by_now);
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

const pause = () => new Promise((resolve) => setTimeout(resolve, PROBE_PAUSE));

// Ask one probe after the other by `way`, and return what is wrong, if anything.
async function ask(r, way, probes) {
    for (let i = 0; i < probes.length; i++) {
        const answer = await r.subrequest(`${way}/${probes[i]}`);
        if (OUR_OWN.indexOf(answer.status) >= 0) {
            return { wrong: `${probes[i]}: Nginx answers ${answer.status}` };
        }
        if (way.startsWith('/by-name/') && !answer.headersOut['X-Wharfinger-By-Name']) {
            return { wrong: 'a site of before names were looked up' };
        }
    }
    return {};
}

// Nginx itself must reach every service of a release before traffic goes there: by name, or by the groups of its slot,
// where its containers have no such names since they were made before that was thought of. Whatever the service answers
// will do: whether it is well, its health check has told. It is asked again until the time is up, or until somebody
// else wants the site's traffic elsewhere: whoever asked may have been killed meanwhile.
// Returns what is wrong, if anything, and whether it is reached by name.
async function reach(r, live, probes) {
    const site = r.variables.wharfinger_site;
    const deadline = Date.now() + PROBED_WITHIN;
    const another = () => ngx.shared.wharfinger_live.get(`${site} turn`) !== r.variables.request_id;
    ngx.shared.wharfinger_live.set(`${site} turn`, r.variables.request_id);
    const bad = probes.find((probe) => !PROBE.test(probe));
    if (bad !== undefined) {
        return { wrong: `a probe is SERVICE/PATH, and not ${bad}` };
    }
    // Where its containers ran when it last went by its name, somebody else may run by now.
    const remembered = (name) => name.live === live && name.until <= Date.now();
    while (probes.length && names(site).some(remembered) && !another()) {
        await pause();
    }
    for (;;) {
        const byName = await ask(r, `/by-name/${site}/${inName(live)}`, probes);
        const found = byName.wrong ? await ask(r, `/reach/${site}/${live.split(':')[0]}`, probes) : byName;
        if (another()) {
            return { wrong: 'somebody else switched meanwhile' };
        }
        if (!found.wrong) {
            return { byName: probes.length > 0 && !byName.wrong };
        }
        if (Date.now() > deadline) {
            return found;
        }
        await pause();
    }
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
        const reached = await reach(r, live, [].concat(r.args.probe || []));
        if (reached.wrong) {
            r.return(502, `${reached.wrong}\n`);
            return;
        }
        // The new name is kept before anybody goes by it, and the old one is for as long as anybody does.
        const now = Date.now();
        const others = names(site).filter((name) => name.live !== live);
        const own = reached.byName ? [{ live, until: now + BY_NAME_FOR }]
            : names(site).filter((name) => name.live === live);
        keepNames(site, others.concat(own));
        ngx.shared.wharfinger_live.set(site, live);
        keepNames(site, others.map((name) => ({ live: name.live, until: Math.min(name.until, now) })).concat(own));
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

export default { value, chosen, named, namedByNow, landed, flights, show, control, list };
