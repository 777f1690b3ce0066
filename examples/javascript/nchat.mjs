// A client of nchat's API for browsers and Node.js 18 or newer.
//
//     const nchat = new Nchat('http://localhost:3000');
//     await nchat.signIn('user@example.com', 'your-password');
//     console.log(await nchat.getConfig());

export class NchatError extends Error {
    constructor(status, answer, requestId) {
        super(answer.error ?? `the server answered ${status}`);
        this.name = 'NchatError';
        this.status = status;
        this.code = answer.code;
        this.details = answer.details ?? {};
        this.requestId = requestId;
    }
}

export class Nchat {
    constructor(base = '') {
        this.base = base;
        this.token = null;
        this.refreshToken = null;
    }

    // One request. Too many of them (429) and a server that is busy (503) are
    // waited for, as long as Retry-After says.
    async request(method, path, body, retries = 3) {
        const headers = {};

        if (body !== undefined) {
            headers['Content-Type'] = 'application/json';
        }
        if (this.token) {
            headers.Authorization = `Bearer ${this.token}`;
        }

        for (let attempt = 0; ; attempt++) {
            const response = await fetch(this.base + path, {
                method, headers, body: body && JSON.stringify(body)
            });

            if (response.ok) {
                return response.json();
            }

            const wait = response.headers.get('Retry-After');

            if (![429, 503].includes(response.status) || attempt === retries) {
                throw new NchatError(response.status,
                    await response.json().catch(() => ({})),
                    response.headers.get('X-Request-Id'));
            }

            await new Promise(done => setTimeout(done, (wait ?? 2 ** attempt) * 1000));
        }
    }

    async signIn(email, password) {
        return this.keep(await this.request('POST', '/api/auth/signin', { email, password }));
    }

    async signUp(account) {
        return this.keep(await this.request('POST', '/api/auth/signup', account));
    }

    // A new pair of tokens; good for one use of each refresh token.
    async refresh() {
        return this.keep(await this.request('POST', '/api/auth/refresh',
            { refreshToken: this.refreshToken }));
    }

    keep(answer) {
        this.token = answer.accessToken;
        this.refreshToken = answer.refreshToken;
        return answer.user;
    }

    async getConfig() {
        return (await this.request('GET', '/api/config')).config;
    }

    async updateConfig(updates) {
        return (await this.request('POST', '/api/config', updates)).config;
    }

    // file: a File, or a Blob with a name. The bytes go to the URL that the first
    // request gives.
    async uploadFile(file, name = file.name) {
        const { fileId, uploadUrl, method, headers } = await this.request('POST', '/api/upload',
            { filename: name, contentType: file.type, size: file.size });

        const stored = await fetch(uploadUrl, { method, headers, body: file });

        if (!stored.ok) {
            throw new NchatError(stored.status, await stored.json().catch(() => ({})));
        }

        return (await this.request('POST', '/api/upload/complete', { fileId })).attachment;
    }

    // filters: types, channelIds, userIds, dateFrom, dateTo, sortBy, sortOrder,
    // limit, offset
    async search(query, filters = {}) {
        return (await this.request('POST', '/api/search', { query, ...filters })).results;
    }
}
