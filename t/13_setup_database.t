# A database that is not as it should be: an older schema, a password that does
# not fit, a database that is not there. nginx runs, says what is wrong, and
# serves as soon as it is right.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use NchatTest;

my $n      = NchatTest->new(own_postgres => 1);
my $owner  = $n->owner;
my $member = $n->signup;
my @signin = (POST => '/api/auth/signin', json => {
    email => $member->{email}, password => $member->{password}
});
my ($newest) = $n->psql('SELECT nchat_schema_version()');
my ($role)   = $n->psql('SELECT nchat_module_role()');

sub check {
    my ($name) = @_;
    return (grep { $_->{name} eq $name }
            @{ $n->get('/api/ready')->json->{checks} })[0];
}


# An older schema.

$n->psql("CREATE TABLE kept AS SELECT * FROM schema_migrations;
          DELETE FROM schema_migrations WHERE version > 9");
$n->reconfigure;

is_error($n->get('/api/ready'), 503, 'SERVICE_UNAVAILABLE',
         'an older schema: not ready');
ok(check('database')->{ready}, 'though the database answers');
ok(!check('schema')->{ready}, 'because of the schema');
like(check('schema')->{message}, qr/nchat-migrate/, 'with what to do');

ok(wait_for(sub { $n->http(@signin)->status == 503 }, 3),
   'an older schema: nothing is served from it');
is_error($n->http(@signin), 503, 'SERVICE_UNAVAILABLE', 'in our shape');
is_error($n->patch('/api/config', {}, token => $owner->{token}), 503,
         'SERVICE_UNAVAILABLE', 'neither are changes');
is($n->get('/api/health')->status, 200, 'health is served');
is($n->get('/api/config')->status, 200, 'and the last known configuration');
my $old = 'the database has schema version 9';
like($n->error_log, qr/\[error\].*$old, this build needs \d+: run nchat-migrate/,
     'the log says what is wrong');

$n->psql("INSERT INTO schema_migrations SELECT * FROM kept k
           WHERE k.version NOT IN (SELECT version FROM schema_migrations)");
ok(wait_for(sub { $n->http(@signin)->status == 200 }, 3),
   'after a migration it is served, by itself');
is($n->get('/api/ready')->status, 200, 'and ready');
like($n->error_log, qr/the database has schema version $newest now/,
     'the log says so');


# No schema at all, when nginx starts: also the configuration comes by itself.

$n->stop;
$n->psql('ALTER SCHEMA public RENAME TO away; CREATE SCHEMA public');

sub start_nginx {
    my $home = $n->home;
    local $ENV{PATH} = "$ENV{PATH}:/usr/sbin";
    my $nginx = $ENV{NCHAT_NGINX} // 'nginx';
    system("cd '$home' && '$nginx' -p '$home/' -c '$home/nginx.conf' -e stderr "
           . "2>/dev/null") == 0 or die "nginx does not start\n";
    wait_for(sub { $n->master }, 5);
}

start_nginx();
is_error($n->get('/api/ready'), 503, 'SERVICE_UNAVAILABLE', 'no schema');
is_error($n->get('/api/config'), 503, 'SERVICE_UNAVAILABLE',
         'nothing to serve yet');
is($n->get('/api/health')->status, 200, 'health is served');
wait_for(sub { $n->http(@signin)->status == 503 }, 3);
is_error($n->http(@signin), 503, 'SERVICE_UNAVAILABLE', 'nor to sign in at');

$n->psql('DROP SCHEMA public; ALTER SCHEMA away RENAME TO public');
ok(wait_for(sub { $n->get('/api/ready')->status == 200 }, 4),
   'with a schema it is ready');
is($n->get('/api/config')->status, 200, 'with its configuration');
is($n->http(@signin)->status, 200, 'and signs in');


# A password that does not fit.

my $secret = 'an-0ther-passw0rd';
$n->psql("ALTER ROLE \"$role\" PASSWORD '$secret'");
my $before = length $n->error_log;
$n->reconfigure;

is_error($n->get('/api/ready'), 503, 'SERVICE_UNAVAILABLE', 'a wrong password');
is_error($n->http(@signin), 503, 'SERVICE_UNAVAILABLE',
         'a wrong password: no sign-in');
is($n->get('/api/config')->status, 200,
   'a wrong password: the configuration is served');

my $log = substr $n->error_log, $before;
my $fatal = "FATAL:  password authentication failed for user \"$role\"";
like($log, qr/\[error\].*connection \(\w+\) cannot connect: .*: $fatal$/m,
     'the log says what is wrong');
my ($own) = $n->module_url =~ m{:([^:@/]+)@};
unlike($log, qr/\Q$own\E|\Q$secret\E/, 'without the password');
cmp_ok(scalar(() = $log =~ /authentication failed/g), '<', 12,
       'once for each kind of connection and worker');

$n->psql("ALTER ROLE \"$role\" PASSWORD '$own'");
ok(wait_for(sub { $n->http(@signin)->status == 200 }, 3),
   'with the right one it comes back');


# A role that may not log in.

$n->psql("ALTER ROLE \"$role\" NOLOGIN");
$n->reconfigure;
is_error($n->http(@signin), 503, 'SERVICE_UNAVAILABLE', 'a role without login');
$n->psql("ALTER ROLE \"$role\" LOGIN CONNECTION LIMIT 3");
ok(wait_for(sub { $n->get('/api/health')->status == 200
                  && $n->get('/api/config')->status == 200 }, 3),
   'fewer connections than wanted: it is served');
my @answers = map { $n->http(@signin) } 1 .. 10;
is(scalar(grep { $_->status !~ /^(?:200|503)$/ } @answers), 0,
   'fewer connections than wanted: 200 or 503');
$n->psql("ALTER ROLE \"$role\" CONNECTION LIMIT -1");
ok(wait_for(sub { $n->http(@signin)->status == 200 }, 4), 'all of them again');

finish();
