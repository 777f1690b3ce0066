# What can happen to every operation: a request that HTTP does not allow, a body
# that is too large or of another kind, no token, a bad one, one of too low a
# role, too many requests, a database that is slow, broken or away. openapi.yaml
# says which of them an operation has; bin/nchat-contract looks at the answers.

use strict;
use warnings;
use lib 't/lib';

use Test::More;

use NchatTest;
use NchatTest::Chat;

my $uuid = '00000000-0000-4000-8000-000000000000';
my $api;


# What an operation is called with where its example does not do: an argument,
# or a body. The owner's token goes along.

my %query = (
    getConfig            => 'history=true',
    search               => 'q=hello',
    getLinkPreview       => 'url=https://example.com/',
    getWebhookByArgument => 'token=secret',
    sendWebhookByArgument => 'token=secret',
    getFile              => 'expires=1&signature=x'
);

my %body = (
    signIn          => sub { { email => $_[0]{email}, password => 'Passw0rd' } },
    refresh         => sub { { refreshToken => $_[0]{refresh} } },
    verifyPassword  => sub { { password => 'Passw0rd' } },
    changePassword  => sub { { currentPassword => 'Passw0rd',
                               newPassword     => 'Passw0rd2' } },
    searchAdvanced  => sub { { query => 'hello' } },
    putUpload       => sub { 'x' }
);

# operations(NODE): [ id, status => 1..., method, path ] of each under /api/.
sub operations {
    my $tree = shift->get('/openapi.json')->json;
    my @found;

    for my $path (sort keys %{ $tree->{paths} }) {
        next if $path =~ m{^/(?:openapi|api-docs)};

        for my $method (qw(get put post patch delete)) {
            my $about = $tree->{paths}{$path}{$method} or next;
            push @found, {
                id       => $about->{operationId},
                method   => uc $method,
                path     => $path,
                statuses => { map { $_ => 1 } keys %{ $about->{responses} } },
                example  => scalar(example($tree, $about)),
                tokens   => scalar(grep { $_->{bearerAuth} }
                                   @{ $about->{security} // [] }),
                open     => scalar(grep { !%$_ } @{ $about->{security} // [{}] })
            };
        }
    }

    return @found;
}

sub example {
    my ($tree, $about) = @_;
    my $body = $about->{requestBody} or return undef;

    $body = $tree->{components}{requestBodies}{$1}
        if ($body->{'$ref'} // '') =~ m{/(\w+)$};
    my $media = $body->{content}{'application/json'} or return undef;

    return $media->{example} // (values %{ $media->{examples} })[0]{value};
}

# What no route leads to shows in the check of what was described and not seen.
sub there_is {
    my ($n, $operation) = @_;
    my $path = $operation->{path} =~ s/\{\w+\}/x/gr;

    return 1 if $n->options($path)->status == 204;
    diag("no route leads to $operation->{id} yet");
    return 0;
}

# call(NODE, OPERATION, OPTION => VALUE...): the operation with its example.
sub call {
    my ($n, $operation, %options) = @_;
    my $id   = $operation->{id};
    my $path = $operation->{path} =~ s/\{fileId\}/$uuid/r =~ s/\{name\}/logo/r
                                  =~ s/\{id\}/$n->{hook}{id}/r
                                  =~ s/\{token\}/$n->{hook}{token}/r;
    my $data = $body{$id} ? $body{$id}->($n->{owner}) : $operation->{example};

    $path .= "?$query{$id}" if $query{$id};
    $path =~ s/token=secret/token=$n->{hook}{token}/;

    if ($id eq 'putUpload') {
        $path = $n->{put};
        $options{headers} = { 'Content-Type' => 'text/plain',
                              %{ $options{headers} // {} } };
    }

    $options{json} = $data if ref $data && !defined $options{body};
    $options{body} //= $data if defined $data && !ref $data;
    $options{token} = $n->{owner}{token} if !exists $options{token};

    return $n->http($operation->{method}, $path, %options);
}

# What t/contract.exempt says of this status: nobody can get it.
sub exempt {
    my ($operation, $status) = @_;
    open my $in, '<', 't/contract.exempt' or die "t/contract.exempt: $!\n";
    return scalar grep { /^\Q$operation\E\s+$status\s/ } <$in>;
}

# each_with(NODE, STATUS, NAME, OPTION => VALUE...): every operation that has
# this status gets it.
sub each_with {
    my ($n, $status, $name, %options) = @_;

    for my $operation (grep { $_->{statuses}{$status} } @$api) {
        next if exempt($operation->{id}, $status);
        next if $operation->{path} !~ m{^/api/} && $status == 400;
        my $r = call($n, $operation, %options);
        is($r->status, $status, "$operation->{id}: $name")
            or diag($r->summary);
    }
}

# prepared(OPTION => VALUE...): a node with an owner and a webhook.
sub prepared {
    my $n = NchatTest->new(@_);

    $n->{owner} = $n->owner;
    $n->{hook}  = webhook($n, channel($n, 'deployments'));
    $n->{module} = $n->module_url;

    my $upload = $n->post('/api/upload', { filename => 'a.txt', size => 1,
                                           contentType => 'text/plain' },
                          token => $n->{owner}{token});
    ($n->{put}) = $upload->json->{uploadUrl} =~ m{^https?://[^/]+(/.*)}
        or die 'no upload: ' . $upload->summary . "\n";
    $api //= [ grep { there_is($n, $_) } operations($n) ];

    return $n;
}


# What is refused before the database is asked.

my $n = prepared();

each_with($n, 400, 'a Host that is none', headers => { Host => 'a/b' });
each_with($n, 413, 'a body of 2 GB',
          headers => { 'Content-Length' => 2_000_000_000 }, body => '');
each_with($n, 415, 'multipart',
          headers => { 'Content-Type' => 'multipart/form-data; boundary=x' },
          body => '--x--');

is_error($n->get("/files/$uuid?expires=%ff"), 400, 'BAD_REQUEST',
         'getFile: an argument that is not UTF-8');

is_error($n->http('POST', '/api/nothing', body => '', headers => {
             'Content-Length' => 2_000_000_000 }), 413, 'PAYLOAD_TOO_LARGE',
         'a body of 2 GB for nobody');

my %role = map { $_ => $n->account($_) } qw(guest member);

for my $operation (grep { $_->{tokens} } @$api) {
    my $id = $operation->{id};

    is_error(call($n, $operation, token => 'nonsense'), 401, 'INVALID_TOKEN',
             "$id: a token that is none");

    next if $operation->{open};
    is_error(call($n, $operation, token => undef), 401, 'UNAUTHORIZED',
             "$id: no token");
}


# What a role is too low for.

my @admins = qw(getConfig updateConfig patchConfig deleteAudit exportAudit
                exportAuditPost verifyAudit);
my %too_low = ((map { $_ => [ 'guest', 'member' ] } @admins),
               map { $_ => ['guest'] } qw(createAudit startUpload));

for my $operation (grep { $too_low{ $_->{id} } } @$api) {
    for my $role (@{ $too_low{ $operation->{id} } }) {
        is_error(call($n, $operation, token => $role{$role}{token}), 403,
                 'FORBIDDEN', "$operation->{id}: a $role");
    }
}


# Too many requests.

my $busy = prepared(limits => 1, http => join ' ',
    map { "nchat_rate_limit $_ 1;" } qw(default upload search webhook));

for my $operation (grep { $_->{statuses}{429} } @$api) {
    my $r;
    for (1 .. 12) {
        $r = call($busy, $operation, token => undef);
        last if $r->status == 429;
    }
    is($r->status, 429, "$operation->{id}: too many requests")
        or diag($r->summary);
}


# A database that has us wait: every table is locked. The connection that hears
# of sessions is ended, so that sessions are asked for too.

my $slow = prepared(http => 'nchat_postgres_timeout fast=300ms lock=300ms '
                            . 'slow=300ms;');
my $tables = join ', ', map { $_->[0] } $slow->rows(
    "SELECT quote_ident(relname) FROM pg_class
      WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace");
my $me = { id => 'getMe', method => 'GET', path => '/api/auth/me' };

my $locker = locker($slow, $tables);
end_connections($slow);
wait_for(sub { call($slow, $me)->status == 504 }, 10);
each_with($slow, 504, 'a database that takes too long');
kill 'TERM', $locker;
waitpid $locker, 0;


# A database that refuses what the module may otherwise do.

my $broken = prepared();
my $module = ($broken->rows('SELECT nchat_module_role()'))[0][0];

$broken->psql(join ' ', map { "REVOKE ALL ON FUNCTION $_->[0] FROM $module;" }
    $broken->rows("SELECT oid::regprocedure FROM pg_proc
                    WHERE pronamespace = 'public'::regnamespace
                      AND proname LIKE 'nchat%'
                      AND proname <> 'nchat_schema_version'"));
end_connections($broken);
wait_for(sub { call($broken, $me)->status == 500 }, 10);
each_with($broken, 500, 'a database that refuses');


# No database.

my $alone = prepared(own_postgres => 1);

$alone->stop_postgres;
wait_for(sub { call($alone, $me)->status == 503 }, 10);
each_with($alone, 503, 'no database');


# locker(NODE, TABLES): the process that holds the locks, once it does.
sub locker {
    my ($n, $tables) = @_;
    my $url = $n->database_url;
    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        open STDOUT, '>', '/dev/null';
        exec 'psql', '-X', '-q', '-c',
             "BEGIN; LOCK TABLE $tables IN ACCESS EXCLUSIVE MODE;"
             . ' SELECT pg_sleep(300)', $url;
        exit 127;
    }

    wait_for(sub {
        ($n->rows("SELECT count(*) FROM pg_locks
                    WHERE mode = 'AccessExclusiveLock' AND granted
                      AND database = (SELECT oid FROM pg_database
                                       WHERE datname = current_database())"))[0][0]
            > 5
    }, 10) or die "the tables could not be locked\n";

    return $pid;
}

sub end_connections {
    my $n = shift;
    NchatTest::Cluster::psql($n->{module},
        'SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE usename = current_user AND pid <> pg_backend_pid()');
}

finish();
