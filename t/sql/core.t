# Migrations, the module's role and its rights.

use strict;
use warnings;

use lib 't/lib', 't/sql/lib';

use Test::More;

use NchatTest::Cluster;
use SqlTest;

my $cluster = NchatTest::Cluster->shared;

my @files = sort map { m{([^/]+)\.sql$} } glob 'sql/*.sql';

subtest 'eight migrations of one empty database at once' => sub {
    $cluster->sql("CREATE DATABASE t_many_$$");
    my $url = $cluster->url("t_many_$$");

    my @pipes = map {
        open my $pipe, '-|', "bin/nchat-migrate '$url' 2>&1" or die;
        $pipe;
    } 1 .. 8;

    my (@applied, $failed);

    for my $pipe (@pipes) {
        push @applied, map { /^applied (\S+)$/ ? $1 : "?$_" } readline $pipe;
        close $pipe or $failed++;
    }

    ok(!$failed, 'all of them succeed');
    is_deeply([sort @applied], \@files, 'each file is applied once');
    is(value($url, 'SELECT nchat_schema_version()'), $files[-1] =~ s/^0*(\d+).*/$1/r,
       'the schema has the highest version');

    my ($code, $output) = migrate($url);
    is("$code$output", '0', 'another one has nothing to do or say');
};

subtest 'a migration that fails' => sub {
    $cluster->sql("CREATE DATABASE t_bad_$$");
    my $url = $cluster->url("t_bad_$$");
    my $folder = File::Temp->newdir("nchat it's XXXXXX", TMPDIR => 1);

    system('cp', 'sql/0001_core.sql', "$folder/") == 0 or die;
    open my $out, '>', "$folder/0002_broken.sql" or die;
    print $out "CREATE TABLE half (a int);\nSELECT no_such_function();\n";
    close $out;

    local $ENV{NCHAT_SQL_DIR} = "$folder";
    my ($code, $output) = migrate($url);
    is($code, 1, 'exit code');
    like($output, qr/no_such_function/, 'the error is said');
    is(value($url, "SELECT nchat_schema_version(), to_regclass('half')"), "1\t",
       'nothing of it stays, and what was before it does');
};

subtest 'what cannot be connected to' => sub {
    my ($code, $output) = migrate('postgresql://nobody@127.0.0.1:1/none');
    is($code, 1, 'exit code');
    like($output, qr/Connection refused/, 'the reason is said');
};

my $db = new_database();
my ($owner, $module) = @$db{qw(owner module)};

is(value($owner, "SELECT string_agg(value ~ '^[0-9a-f]{64}\$' || '', ',')"
                 . " FROM node_secrets WHERE name IN ('jwt_key', 'module_password')"),
   'true,true', 'two secrets of 32 bytes');
is(value($owner, 'SELECT name, type FROM channels'), "general\tpublic",
   'one public channel');

subtest 'what the role of the module may do' => sub {
    is(value($module, 'SELECT nchat_schema_version() > 0'), 't', 'functions');
    is(value($module, 'SELECT count(*) FROM channels'), 1, 'reading');

    for my $sql ('SELECT * FROM node_secrets', 'DELETE FROM audit_log',
                 "UPDATE audit_log SET description = 'x'",
                 'TRUNCATE audit_log', 'INSERT INTO audit_log DEFAULT VALUES',
                 'DELETE FROM audit_blocks', 'DELETE FROM audit_tombstones',
                 'DELETE FROM audit_deletions', 'DELETE FROM users',
                 "UPDATE users SET role = 'owner'",
                 'DELETE FROM config_history', 'DELETE FROM schema_migrations',
                 'CREATE TABLE public.t (a int)',
                 "SELECT nchat_module_grant('ALL ON audit_log')",
                 "SELECT nchat_audit_write(NULL, NULL, NULL, NULL, NULL)",
                 "SELECT nchat_operator_user_role('a', 'owner', 'a')")
    {
        like(refusal($module, $sql), qr/permission denied/, "not: $sql");
    }
};

subtest 'functions are nobody else\'s' => sub {
    is(value($owner, "SELECT count(*) FROM pg_proc WHERE proname LIKE 'nchat\\_%'"
             . " AND has_function_privilege('pg_monitor', oid, 'EXECUTE')"),
       0, 'PUBLIC may execute none');
};

subtest 'a restore into a cluster without the role' => sub {
    my $copy = new_database();
    my $role = value($copy->{owner}, 'SELECT nchat_module_role()');

    value($copy->{owner}, "GRANT $role TO CURRENT_USER;"
          . "DROP OWNED BY $role; DROP ROLE $role;");
    is(value($copy->{owner}, 'SELECT nchat_module_ready()'), 'f', 'it is noticed');
    migrate($copy->{owner});
    is(value($copy->{owner}, 'SELECT nchat_module_ready()'), 't', 'it is made again');
    is(value($copy->{module}, 'SELECT count(*) FROM channels'), 1,
       'with the stored password and its rights');
};

subtest 'an owner who may not create roles' => sub {
    $cluster->sql("CREATE ROLE plain_$$ LOGIN PASSWORD 'x'");
    (my $url = $cluster->url("t_plain_$$")) =~ s{//[^@]*@}{//plain_$$:x@};
    $cluster->sql("GRANT plain_$$ TO CURRENT_USER");
    $cluster->sql("CREATE DATABASE t_plain_$$ OWNER plain_$$");

    my ($code, $output) = migrate($url);
    is($code, 1, 'is refused');
    like($output, qr/CREATE ROLE t_plain_${$}_module LOGIN/, 'and told what to do');

    $cluster->sql("CREATE ROLE t_plain_${$}_module LOGIN PASSWORD 'y'");
    ($code, $output) = migrate($url);
    is($code, 0, 'works when the role is there');
    like($output, qr/keeps its password/, 'with a word about its password');
};

subtest 'helpers' => sub {
    is(value($module, "SELECT nchat_time('2026-01-02 03:04:05.6789+02')"),
       '2026-01-02T01:04:05.678Z', 'times are UTC with milliseconds');
    is_deeply(row($module, "SELECT * FROM nchat_error(404, 'NOT_FOUND', 'No')"),
              { status => 404, body => { error => 'No', code => 'NOT_FOUND',
                                         details => {} } }, 'refusals');
    is(value($module, "SELECT nchat_role_rank('owner') > nchat_role_rank('admin'),"
                      . " nchat_role_rank('boss')"), "t\t0", 'ranks');
};

done_testing();
