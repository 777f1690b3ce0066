#!/usr/bin/env python3
"""A client of nchat's API; needs the package requests.

    nchat.py EMAIL PASSWORD    signs in, or up, and shows what it can do
"""

import os
import sys
import time

import requests


class NchatError(Exception):
    """An answer that is none of success; code is for programs."""

    def __init__(self, response):
        answer = response.json() if 'json' in response.headers.get('Content-Type', '') else {}
        super().__init__(answer.get('error', f'the server answered {response.status_code}'))
        self.status = response.status_code
        self.code = answer.get('code')
        self.details = answer.get('details', {})


class Nchat:
    """The API of one server, as one caller."""

    def __init__(self, base='http://localhost:3000'):
        self.base = base
        self.session = requests.Session()

    def request(self, method, path, retries=3, **options):
        """One request; 429 and 503 are waited for as Retry-After says."""
        for attempt in range(retries + 1):
            response = self.session.request(method, self.base + path, timeout=30, **options)
            if response.status_code not in (429, 503) or attempt == retries:
                break
            time.sleep(int(response.headers.get('Retry-After', 2 ** attempt)))

        if not response.ok:
            raise NchatError(response)
        return response.json()

    def _keep(self, answer):
        self.session.headers['Authorization'] = f"Bearer {answer['accessToken']}"
        return answer['user']

    def sign_in(self, email, password):
        """The user; further requests are theirs."""
        return self._keep(self.request('POST', '/api/auth/signin',
                                       json={'email': email, 'password': password}))

    def sign_up(self, email, password, username):
        """A new user, signed in."""
        return self._keep(self.request('POST', '/api/auth/signup', json={
            'email': email, 'password': password, 'username': username}))

    def get_config(self):
        """The public configuration."""
        return self.request('GET', '/api/config')['config']

    def update_config(self, updates):
        """Merges updates into the configuration; admins only."""
        return self.request('POST', '/api/config', json=updates)['config']

    def upload(self, name, content_type, data):
        """Sends a file's bytes; returns the attachment."""
        start = self.request('POST', '/api/upload', json={
            'filename': name, 'contentType': content_type, 'size': len(data)})
        stored = requests.request(start['method'], start['uploadUrl'],
                                  headers=start['headers'], data=data, timeout=300)
        if not stored.ok:
            raise NchatError(stored)
        return self.request('POST', '/api/upload/complete',
                            json={'fileId': start['fileId']})['attachment']

    def search(self, query, page_size=50, **filters):
        """Every result, page by page."""
        offset = 0
        while True:
            answer = self.request('POST', '/api/search', json={
                'query': query, 'limit': page_size, 'offset': offset, **filters})
            yield from answer['results']
            offset += page_size
            if not answer['pagination']['hasMore']:
                return


def main():
    """Signs in, or up, and shows what can be done."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    email, password = sys.argv[1:]
    nchat = Nchat(os.environ.get('NCHAT_URL', 'http://localhost:3000'))

    try:
        user = nchat.sign_in(email, password)
    except NchatError as error:
        if error.code != 'UNAUTHORIZED':
            raise
        user = nchat.sign_up(email, password, email.split('@', maxsplit=1)[0])
    print(f"signed in as {user['displayName']}, {user['role']}")

    if user['role'] in ('owner', 'admin'):
        config = nchat.update_config({'branding': {'appName': 'My Team Chat'}})
        print(f"the application is called {config['branding']['appName']}")

    file = nchat.upload('notes.txt', 'text/plain', b'Notes of the meeting\n')
    print(f"uploaded {file['originalFilename']}: {file['url']}")

    titles = [item['title'] for item in nchat.search('notes', types=['files'])]
    print('found: ' + ', '.join(titles))


if __name__ == '__main__':
    main()
