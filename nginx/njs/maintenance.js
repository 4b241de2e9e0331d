// Whether a site is under maintenance: what the control server was last told, else what sites/NAME.maintenance says. Both
// are `off`, or `on TOKEN NETWORK/BITS …` with networks in hexadecimal. The shared dictionary outlives a reload; the file
// outlives a restart.
import fs from 'fs';

const FORM = /^(off|on [0-9a-f]{32}( ([0-9a-f]{8}|[0-9a-f]{32})\/[0-9]{1,3})*)$/;
const SITES = '/etc/nginx/wharfinger/sites';
const ACME = '/.well-known/acme-challenge/';
const RETRY_AFTER = '120';

// js_set: `1` where a request is to be refused.
function closed(r) {
    const v = r.variables;
    const said = ngx.shared.wharfinger_maintenance.get(v.wharfinger_site) || v.wharfinger_maintenance_default || 'off';
    if (said === 'off' || v.uri === v.wharfinger_health || v.uri.startsWith(ACME)) {
        return '';
    }
    const words = said.split(' ');
    if (r.headersIn['X-Wharfinger-Pass'] === words[1]) {
        return '';
    }
    const address = r.rawVariables.binary_remote_addr.toString('hex');
    return words.slice(2).some((network) => holds(network, address)) ? '' : '1';
}

function holds(network, address) {
    const parts = network.split('/');
    return parts[0].length === address.length && bits(parts[0], parts[1]) === bits(address, parts[1]);
}

// The first `count` bits of hexadecimal digits, as text.
function bits(digits, count) {
    const whole = Math.floor(count / 4);
    const rest = 4 - count % 4;
    return digits.slice(0, whole) + (rest < 4 ? `.${parseInt(digits[whole], 16) >> rest}` : '');
}

// The answer, for any method.
function page(r) {
    r.headersOut['Retry-After'] = RETRY_AFTER;
    r.headersOut['Cache-Control'] = 'no-store';
    let body = 'Under maintenance\n';
    try {
        body = fs.readFileSync(`${SITES}/${r.variables.wharfinger_site}.html`, 'utf8');
        r.headersOut['Content-Type'] = 'text/html; charset=utf-8';
    } catch (error) {
        r.headersOut['Content-Type'] = 'text/plain; charset=utf-8';
    }
    r.return(503, body);
}

// PUT /maintenance/NAME
function control(r) {
    const said = (r.requestText || '').trim();
    if (r.method !== 'PUT' || !FORM.test(said)) {
        r.return(400, 'PUT `off`, or `on TOKEN NETWORK/BITS …`\n');
        return;
    }
    ngx.shared.wharfinger_maintenance.set(r.variables.wharfinger_site, said);
    r.return(200);
}

export default { closed, page, control };
