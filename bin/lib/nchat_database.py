"""What nchat-admin stands on: the settings, the database by psql, bcrypt."""

import json
import os
import re
import secrets
import shlex
import subprocess
import urllib.parse

BCRYPT_ALPHABET = ('./ABCDEFGHIJKLMNOPQRSTUVWXYZ'
                   'abcdefghijklmnopqrstuvwxyz0123456789')


class Refused(Exception):
    """What was asked for was refused or failed; said in words."""

    def __init__(self, error, code='FAILED', details=None):
        super().__init__(error)
        self.body = {'error': error, 'code': code, 'details': details or {}}


class Settings:
    """Where the database and the server are."""

    def __init__(self, database=None):
        home = os.environ.get('NCHAT_HOME') or 'var'
        stored = read_env(os.path.join(home, 'env'))

        self.database = (database or os.environ.get('NCHAT_DATABASE_URL')
                         or stored.get('NCHAT_DATABASE_URL'))
        self.url = os.environ.get('NCHAT_URL') or stored.get('NCHAT_URL')

        if not self.database:
            raise Refused('No database: set NCHAT_DATABASE_URL, or NCHAT_HOME '
                          f'to a folder with a file "env" ({home}/env has '
                          'none)')


def read_env(path):
    """The lines NAME=VALUE of a file, as the shell reads them; none where
    there is no file."""
    values = {}

    try:
        with open(path, encoding='utf-8') as lines:
            for line in lines:
                name, equals, value = line.strip().partition('=')
                if equals and not name.startswith('#'):
                    values[name] = ''.join(shlex.split(value))
    except FileNotFoundError:
        pass
    except OSError as e:
        raise Refused(f'{path}: {e.strerror}') from e
    except ValueError as e:
        raise Refused(f'{path}: {e}') from e

    return values


def without_password(database):
    """A connection string without its password, and the password or None: the
    arguments of a process can be seen by everybody on the machine."""
    if re.match(r'postgres(ql)?://', database):
        parts = urllib.parse.urlsplit(database)
        userinfo, at, hosts = parts.netloc.rpartition('@')
        user, colon, password = userinfo.partition(':')
        if colon:
            parts = parts._replace(netloc=user + at + hosts)
            return parts.geturl(), urllib.parse.unquote(password)
        return database, None

    found = re.search(r"\bpassword\s*=\s*(?:'((?:\\.|[^'])*)'|(\S+))", database)
    if not found:
        return database, None

    password = re.sub(r'\\(.)', r'\1', found[1] or found[2])
    return database[:found.start()] + database[found.end():], password


class Database:
    """Statements, each by a psql of its own."""

    def __init__(self, conninfo):
        self.conninfo, password = without_password(conninfo)
        self.env = dict(os.environ, PGCLIENTENCODING='UTF8',
                        PGAPPNAME='nchat-admin')
        self.env.setdefault('PGCONNECT_TIMEOUT', '10')
        self.env['PGOPTIONS'] = (os.environ.get('PGOPTIONS', '')
                                 + ' -c search_path=public'
                                   ' -c standard_conforming_strings=on'
                                   ' -c client_min_messages=warning')
        if password is not None:
            self.env['PGPASSWORD'] = password

    def rows(self, sql):
        """The rows of one statement, as dictionaries."""
        command = ['psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1',
                   '-d', self.conninfo, '-f', '-']
        try:
            done = subprocess.run(
                command, input=f'SELECT row_to_json(r) FROM ({sql}) r;\n',
                env=self.env, capture_output=True, encoding='utf-8',
                check=False)
        except FileNotFoundError as e:
            raise Refused('psql is missing: install postgresql-client') from e

        if done.returncode != 0:
            raise Refused(psql_error(done.stderr))

        return [json.loads(line) for line in done.stdout.splitlines()]

    def call(self, function, *values):
        """Calls an API function; gives its payload, or raises its refusal."""
        arguments = ', '.join(literal(value) for value in values)
        row = self.rows(f'SELECT * FROM {function}({arguments})')[0]
        body = json.loads(row['body'])

        if row['status'] >= 400:
            raise Refused(body['error'], body['code'], body['details'])

        return body


def literal(value):
    """A value as SQL."""
    if value is None:
        return 'NULL'
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if isinstance(value, int):
        return str(value)
    if '\0' in value:
        raise Refused('A text may not contain NUL')
    return "'" + value.replace("'", "''") + "'"


def psql_error(text):
    """What psql said, without where it said it."""
    said = re.sub(r'^(psql:[^ ]*: )?(psql: )?(error: )?', '',
                  text.strip()) or 'psql failed'
    said = said.split('\nLINE ')[0]

    if re.search(r'function nchat_\w+\(.*\) does not exist', said):
        return 'The database has no nchat, or an older one: run ' \
               '"nchat-admin migrate" first'
    return said


def bcrypt(password, cost):
    """By the C library's crypt(), through perl: Python has none any more."""
    salt = f'$2b${cost:02d}$'
    salt += ''.join(secrets.choice(BCRYPT_ALPHABET) for _ in range(21))
    salt += secrets.choice('.Oeu')

    try:
        done = subprocess.run(
            ['perl', '-e', 'local $/; print crypt(<STDIN>, $ARGV[0])', salt],
            input=password.encode(), capture_output=True, check=False)
    except FileNotFoundError as e:
        raise Refused('perl is missing: install perl-base') from e

    hashed = done.stdout.decode('ascii', 'replace')
    if len(hashed) != 60 or not hashed.startswith(salt[:7]):
        raise Refused('crypt() of this machine has no bcrypt')
    return hashed
