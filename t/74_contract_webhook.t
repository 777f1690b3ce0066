# Webhooks with the token as an argument: the same as with the token in the path.

use strict;
use warnings;
use lib 't/lib';

use Test::More;

use NchatTest;
use NchatTest::Chat;

my $n      = NchatTest->new;
my $hook   = webhook($n, channel($n, 'deployments'));
my $nobody = '00000000-0000-4000-8000-000000000000';

sub path { "/api/webhook/$_[0]?token=$_[1]" }

my $path = path($hook->{id}, $hook->{token});
my $sent = $n->post($path, { content => 'once' },
                    headers => { 'Idempotency-Key' => 'k' });

is_ok($sent, 'a message');
is_error($n->post($path, { content => 'other' },
                  headers => { 'Idempotency-Key' => 'k' }), 409, 'CONFLICT',
         'the key with another body');

my $r = $n->get($path);
is_ok($r, 'what it is for');
is($r->json->{id}, $hook->{id}, 'the id');
is_deeply($r->json, $n->get($hook->{path})->json, 'as with the token in the path');

for my $method (qw(GET POST)) {
    my @body = $method eq 'POST' ? (json => { content => 'x' }) : ();

    is_error($n->http($method, path($hook->{id}, 'x'), @body), 401,
             'INVALID_TOKEN', "$method: a wrong token");
    is_error($n->http($method, "/api/webhook/$hook->{id}", @body), 401,
             'INVALID_TOKEN', "$method: no token");
    is_error($n->http($method, path($nobody, 'x'), @body), 404, 'NOT_FOUND',
             "$method: an unknown id");
    is_error($n->http($method, path('x', 'x'), @body), 404, 'NOT_FOUND',
             "$method: an id that is none");
}

is_error($n->post($path, {}), 400, 'VALIDATION_ERROR', 'no content');

finish();
