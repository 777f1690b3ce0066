# make install, and the API in a server block that was there before.

use strict;
use warnings;

use lib 't/lib';

use File::Temp ();
use Test::More;

use NchatTest;
use NchatTest::Cluster qw(slurp spew);
use NchatTest::Ops;

plan skip_all => 'builds without sanitizers' if $ENV{NCHAT_TEST_ASAN};

my $temp = File::Temp->newdir('nchat-install-XXXXXX', TMPDIR => 1);
my $root = $NchatTest::root;
my $dest = "$temp/dest";
my $site = "$temp/site";
my $port = free_port();

chmod 0755, "$temp";
mkdir $_ for $dest, $site, "$site/html";

my ($status, $output) = run_command({ IN => $root, DESTDIR => $dest },
                                    'make', 'install');
is($status, 0, 'make install') or diag($output);

my ($module) = $output =~ m{^  (\S+/ngx_http_nchat_module\.so)$}m;
my ($etc)    = $output =~ m{^  (\S+)/snippets/nchat\.conf$}m;
ok(-s ($module // ''), 'the module is among the others of nginx');
ok(-s "$dest/usr/share/nginx/modules-available/mod-http-nchat.conf",
   'with the line that enables it');
ok(-x "$dest/usr/bin/$_", "$_ is installed") for qw(nchat-admin nchat-migrate);

open my $edited, '>>', "$etc/snippets/nchat.conf";
print $edited "# mine\n";
close $edited;
run_command({ IN => $root, DESTDIR => $dest }, 'make', 'install');
like(slurp("$etc/snippets/nchat.conf"), qr/# mine$/,
     'an edited snippet survives the next make install');


# A server of one's own.

my $url = NchatTest::Cluster->shared->database;
run_command({}, "$root/bin/nchat-migrate", $url);
my ($role, $password) = split /\t/, NchatTest::Cluster::psql(
    $url, "SELECT nchat_module_role(), value FROM node_secrets
            WHERE name = 'module_password'");
my $module_url = $url =~ s{//[^@]*@}{//$role:$password@}r;

spew("$site/jwt.key", 'k' x 40);
spew("$site/html/index.html", "my own page\n");
spew("$site/nginx.conf", <<"END");
load_module $module;
daemon off;
pid nginx.pid;
error_log error.log notice;
thread_pool nchat threads=2;
events { }
http {
    access_log access.log;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;

    include $etc/snippets/nchat-http.conf;
    nchat_postgres "$module_url";
    nchat_jwt_key file:$site/jwt.key;

    server {
        listen 127.0.0.1:$port;
        root html;
        include $etc/snippets/nchat.conf;
    }
}
END

my $nginx = $ENV{NCHAT_NGINX} // (-x "$root/build/nginx" ? "$root/build/nginx"
                                                         : 'nginx');
my @nginx = ($nginx, '-p', "$site/", '-c', "$site/nginx.conf", '-e', 'stderr');
$ENV{PATH} .= ':/usr/sbin';

my $pid = spawn_command({ PATH => $ENV{PATH} }, "$site/output", @nginx);
my $base = "http://127.0.0.1:$port";
ok(wait_for(sub { fetch('GET', "$base/api/ready")->status == 200 }, 15),
   'the API is ready') or diag(slurp("$site/output"));

is(fetch('GET', "$base/")->body, "my own page\n", 'next to what was there');
is(fetch('GET', "$base/api/config")->json->{config}{branding}{appName},
   'nChat', 'the configuration is served');

my $missing = fetch('GET', "$base/nothing");
is($missing->status, 404, 'a page that does not exist is 404');
like($missing->body, qr/<html>/, 'with the page of the server it belongs to');
is_error(fetch('GET', "$base/api/nothing"), 404, 'NOT_FOUND',
         'below /api/ it is JSON');

kill 'QUIT', $pid;
waitpid $pid, 0;
is($?, 0, 'nginx ends in good order');
unlike(slurp("$site/error.log"), qr/\[(?:alert|crit|emerg)\]/,
       'nothing alarming in the error log');

done_testing();

END { kill 'TERM', $pid if $pid && kill 0, $pid }
