"""openapi.yaml as something to hold requests and answers against.

OpenAPI 3.0's schemas become JSON schemas (draft 4) that are closed: an object
has the members that are described, and no others, unless its schema says
otherwise. What a request may have is open, as the server ignores what it does
not know.
"""

import re
import urllib.parse

import jsonschema
import yaml

# Statuses that HTTP itself can give to any request.
UNREADABLE = 'unreadable'
# Answers to a path or method that is not described.
UNMATCHED = 'unmatched'

METHODS = ('get', 'head', 'post', 'put', 'patch', 'delete', 'options')


class Operation:
    """A described method of a path."""

    def __init__(self, path, method, about):
        self.path = path
        self.method = method.upper()
        self.about = about
        self.name = about.get('operationId', '')
        self.responses = about['responses']

    def __str__(self):
        return f'{self.method} {self.path}'


class Description:
    """The whole file."""

    def __init__(self, file):
        with open(file, encoding='utf-8') as source:
            self.tree = yaml.safe_load(source)

        self.schemas = {}
        self.operations = []

        for path, item in self.tree['paths'].items():
            for method in METHODS:
                if method in item:
                    self.operations.append(Operation(path, method, item[method]))

        self.paths = [(path, self._pattern(path)) for path in self.tree['paths']]
        self.paths.sort(key=lambda pair: '{' in pair[0])
        self.general = self.tree['x-any-request']
        self.any_headers = {name.lower(): header for name, header
                            in self.tree['x-any-headers'].items()}

    @staticmethod
    def _pattern(path):
        parts = re.split(r'\{[^}]+\}', path)
        return re.compile('[^/]+'.join(re.escape(part) for part in parts) + r'\Z')

    def resolve(self, thing):
        """What a $ref stands for; anything else as it is."""
        while isinstance(thing, dict) and '$ref' in thing:
            found = self.tree
            for name in thing['$ref'][2:].split('/'):
                found = found[name.replace('~1', '/').replace('~0', '~')]
            thing = found
        return thing

    def path_of(self, target):
        """The described path that a request's target belongs to, or None."""
        path = normal_path(target)
        for name, pattern in self.paths:
            if pattern.match(path):
                return name
        return None

    def operation(self, method, path):
        """The operation; HEAD is GET where it is not described by itself."""
        for wanted in (method, 'GET' if method == 'HEAD' else method):
            for operation in self.operations:
                if operation.path == path and operation.method == wanted:
                    return operation
        return None

    def methods_of(self, path):
        """What Allow says."""
        methods = {o.method for o in self.operations if o.path == path}
        if 'GET' in methods:
            methods.add('HEAD')
        return methods | {'OPTIONS'}

    def validator(self, schema, closed=True):
        """A validator of a schema, made once."""
        key = (id(schema), closed)
        if key not in self.schemas:
            self.schemas[key] = jsonschema.Draft4Validator(
                self.convert(schema, closed))
        return self.schemas[key]

    def convert(self, schema, closed):
        """A JSON schema of an OpenAPI one, without references."""
        schema = self.resolve(schema)

        if 'allOf' in schema:
            schema = self.merge(schema)

        result = {}
        for name, value in schema.items():
            if name == 'properties':
                result[name] = {key: self.convert(member, closed)
                                for key, member in value.items()}
            elif name in ('items', 'not') or (name == 'additionalProperties'
                                              and isinstance(value, dict)):
                result[name] = self.convert(value, closed)
            elif name in ('oneOf', 'anyOf', 'allOf', 'both'):
                result['allOf' if name == 'both' else name] = [
                    self.convert(member, closed) for member in value]
            elif name not in ('nullable', 'example', 'description', 'format'):
                result[name] = value

        if closed and 'properties' in schema:
            result.setdefault('additionalProperties', False)
        if schema.get('nullable'):
            result['type'] = [schema['type'], 'null']

        return result

    def merge(self, schema):
        """An allOf of objects as one object, so that it can be closed."""
        merged = {'type': 'object', 'properties': {}, 'required': []}

        for part in schema['allOf']:
            part = self.resolve(part)
            if 'allOf' in part:
                part = self.merge(part)
            if part.get('type') != 'object':
                return schema

            for name, member in part.get('properties', {}).items():
                known = merged['properties'].get(name)
                merged['properties'][name] = member if known is None \
                    else {'both': [known, member]}

            merged['required'] += part.get('required', [])
            if 'additionalProperties' in part:
                merged['additionalProperties'] = part['additionalProperties']

        merged['required'] = sorted(set(merged['required']))
        if not merged['required']:
            del merged['required']
        return merged


def normal_path(target):
    """A request's path as nginx understands it, without a trailing slash."""
    path = re.sub(r'^https?://[^/]*', '', target)
    path = path.split('?')[0].split('#')[0]
    path = urllib.parse.unquote(path, errors='replace')

    parts = []
    for part in path.split('/'):
        if part == '..':
            parts = parts[:-1]
        elif part not in ('', '.'):
            parts.append(part)

    return '/' + '/'.join(parts)


def what_is_wrong(validator, value):
    """Sentences about a value that does not fit."""
    for error in validator.iter_errors(value):
        best = jsonschema.exceptions.best_match([error])
        where = '.'.join(str(part) for part in best.absolute_path)
        yield f"{where or 'the body'}: {best.message[:300]}"


def header_value(schema, text):
    """A header's text as the type that its schema has."""
    if schema.get('type') == 'integer' and re.fullmatch(r'-?\d+', text):
        return int(text)
    return text
