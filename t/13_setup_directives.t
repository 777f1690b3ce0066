# nginx -t explains every wrong directive in words. No database is needed for
# that, nor is one asked.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use File::Temp ();
use NchatTest::Cluster;

my $root   = $NchatTest::Cluster::root;
my $folder = File::Temp->newdir('nchat-conf-XXXXXX', TMPDIR => 1);
my $module = $ENV{NCHAT_MODULE} // "$root/build/ngx_http_nchat_module.so";
my ($nginx) = grep { -x } $ENV{NCHAT_NGINX} // (),
              map { "$_/nginx" } split(/:/, $ENV{PATH}), '/usr/sbin';

sub spew {
    my ($name, $text) = @_;
    open my $out, '>:raw', "$folder/$name" or die "$name: $!\n";
    print $out $text;
    close $out;
    return "$folder/$name";
}

mkdir "$folder/logs";
spew('good.key', 'k' x 32);
spew('short.key', 'k' x 31);
spew('empty.key', '');

for my $make ([ qw(genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out),
                "$folder/rsa.pem" ],
              [ qw(genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out),
                "$folder/weak.pem" ],
              [ qw(genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out),
                "$folder/p256.pem" ],
              [ qw(genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out),
                "$folder/p384.pem" ],
              map { [ 'pkey', '-in', "$folder/$_.pem", '-pubout', '-out',
                      "$folder/$_.pub" ] } qw(rsa weak p256 p384))
{
    system("openssl @$make 2>/dev/null") == 0 or die "openssl @$make\n";
}

# A configuration that is right, by directive; a case replaces some of it.
my %good = (
    thread_pool    => 'thread_pool nchat threads=2 max_queue=16;',
    nchat_zone     => 'nchat_zone nchat 1m;',
    nchat_postgres => 'nchat_postgres "host=127.0.0.1 dbname=x user=y";',
    nchat_jwt_key  => 'nchat_jwt_key file:good.key;',
    location       => 'location /api/ { nchat api; }'
);

# check(DIRECTIVES...): (exit code, what nginx -t says).
sub check {
    my %conf = (%good, more => '', server => '', @_);

    spew('nginx.conf', <<"END");
load_module "$module";
daemon off;
pid nginx.pid;
error_log stderr;
$conf{thread_pool}
events { }
http {
    access_log off;
    client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp;
    uwsgi_temp_path tmp; scgi_temp_path tmp;
    $conf{nchat_zone}
    $conf{nchat_postgres}
    $conf{nchat_jwt_key}
    $conf{more}
    server {
        listen 127.0.0.1:1;
        $conf{server}
        $conf{location}
    }
}
END
    my $command = qq(cd "$folder" && "$nginx" -t -e stderr -p "$folder/")
        . qq( -c "$folder/nginx.conf" 2>&1);

    # nginx -t leaves without freeing what it read

    local $ENV{ASAN_OPTIONS} = join ':', grep { defined && length }
                                         $ENV{ASAN_OPTIONS}, 'detect_leaks=0';
    my $output = `$command`;
    return ($? >> 8, $output);
}

# right(NAME, DIRECTIVES...), wrong(WORDS, DIRECTIVES...)
sub right {
    my ($name, @conf) = @_;
    my ($status, $output) = check(@conf);
    is($status, 0, "right: $name") or diag($output);
}

sub wrong {
    my ($words, @conf) = @_;
    my ($status, $output) = check(@conf);
    my $name = join ' ', grep { !/^(?:more|location|server)$/ } @conf;

    isnt($status, 0, "wrong: $name");
    like($output, qr/\[emerg\].*$words/, "- says so")
        or diag("nginx says: $output");
    unlike($output, qr/Sanitizer|runtime error|s3cr3t/, '- and no more');
}


right('as it is');
right('nothing of ours at all', map { $_ => '' } keys %good);

# What is missing.

wrong('add "nchat_zone nchat 32m;"', nchat_zone => '');
wrong('add "nchat_postgres <connection string>;"', nchat_postgres => '');
wrong('add "nchat_jwt_key file:<path>;".*at least 32 bytes',
      nchat_jwt_key => '');
wrong('unknown thread pool "nchat"|thread pool "nchat"', thread_pool => '');
wrong('thread pool "other"', more => 'nchat_thread_pool other;');

# nchat_zone

right('a larger zone', nchat_zone => 'nchat_zone chat 64m;');
wrong('is no size of at least 1m', nchat_zone => "nchat_zone nchat $_;")
    for qw(0 x 1023k -1m 1x);
wrong('invalid number of arguments', nchat_zone => 'nchat_zone nchat;');
wrong('is duplicate', more => 'nchat_zone other 1m;');
wrong('already|conflict|zone "one"', nchat_zone => 'nchat_zone one 1m;',
      more => 'limit_req_zone $binary_remote_addr zone=one:1m rate=1r/s;');

# nchat_postgres

right("nchat_postgres $_", nchat_postgres => "nchat_postgres \"$_\";")
    for 'postgresql://u:p@127.0.0.1:5432/db', 'postgres:///db?host=/run/x',
        'host=127.0.0.1,127.0.0.2 port=1,2 target_session_attrs=read-write',
        'host=localhost user=u password=s3cr3t', 'host=/run/postgresql';
wrong("the connection string cannot be used: $_->[0]",
      nchat_postgres => "nchat_postgres \"$_->[1]\";")
    for [ 'invalid connection option "hots"', 'hots=x' ],
        [ 'missing "=" after "password"', 'password' ],
        [ 'unterminated quoted string', "password='s3cr3t" ],
        [ '.*one port', 'host=127.0.0.1,127.0.0.2 port=1,2,3' ],
        [ '.*port', 'host=127.0.0.1 port=x' ],
        [ '.*port', 'host=127.0.0.1 port=99999' ],
        [ '.*host not found.*nowhere.invalid',
          'postgresql://u:s3cr3t@nowhere.invalid/db' ],
        [ '.*sslmode', 'host=127.0.0.1 sslmode=maybe' ],
        [ '.*', 'postgresql://[::1/db' ];
wrong('is duplicate', more => 'nchat_postgres "host=127.0.0.1";');
wrong('connection string cannot be used',
      more => 'nchat_postgres_read "hots=x";');
right('a replica', more => 'nchat_postgres_read "host=127.0.0.1 port=5433";');

# nchat_postgres_pool, nchat_postgres_timeout

right('a pool', more => 'nchat_postgres_pool fast=8 batch=2 lock=1 slow=1 queue=10;');
wrong('unknown parameter "quick=1"', more => 'nchat_postgres_pool quick=1;');
wrong('unknown parameter "fast"', more => 'nchat_postgres_pool fast;');
wrong('"fast=' . quotemeta($_) . '" needs a number above zero',
      more => "nchat_postgres_pool fast=$_;") for '0', 'x', '-1', '1.5';
right('timeouts', more => 'nchat_postgres_timeout connect=500ms queue=1s
                           fast=2s lock=1m slow=1m;');
wrong('"fast=' . quotemeta($_) . '" needs a time above zero',
      more => "nchat_postgres_timeout fast=$_;") for '0', 'x', '-1', '0s';
wrong('unknown parameter', more => 'nchat_postgres_timeout statement=1s;');

# nchat_jwt_key

right("nchat_jwt_key $_", more => "nchat_jwt_key $_;")
    for 'file:good.key kid=old',
        'file:rsa.pub alg=RS256 iss=https://id.example aud=chat',
        'file:p256.pub alg=ES256 iss=https://id.example aud=chat '
        . 'roles=boss:admin,crew:member';
wrong($_->[0], nchat_jwt_key => "nchat_jwt_key $_->[1];")
    for [ 'has 31 bytes, but at least 32 are needed', 'file:short.key' ],
        [ 'has 0 bytes', 'file:empty.key' ],
        [ 'No such file', 'file:none.key' ],
        [ 'read from file:<path> or env:<NAME>, it is never', 'k' x 32 ],
        [ 'environment variable "NO_SUCH_KEY".*is not set',
          'env:NO_SUCH_KEY' ],
        [ 'is a PEM file; say alg=RS256', 'file:rsa.pub' ],
        [ 'unknown option "foo=1"', 'file:good.key foo=1' ],
        [ 'kid= needs 1 to', 'file:good.key kid=' ],
        [ 'unknown algorithm "none"', 'file:good.key alg=none' ],
        [ 'unknown algorithm "HS512"', 'file:good.key alg=HS512' ],
        [ 'needs iss= and aud=', 'file:rsa.pub alg=RS256' ],
        [ 'needs iss= and aud=|needs both', 'file:rsa.pub alg=RS256 iss=x' ],
        [ 'needs both of them', 'file:good.key iss=x' ],
        [ 'roles= is for keys of an identity service',
          'file:good.key roles=a:admin' ];
wrong($_->[0], more => "nchat_jwt_key $_->[1] iss=x aud=y;")
    for [ 'is no public key in PEM form', 'file:good.key alg=RS256' ],
        [ 'is no public key in PEM form', 'file:rsa.pem alg=RS256' ],
        [ 'is no RSA key', 'file:p256.pub alg=RS256' ],
        [ 'has 1024 bits', 'file:weak.pub alg=RS256' ],
        [ 'is no key on the curve P-256', 'file:p384.pub alg=ES256' ],
        [ 'is no key on the curve P-256', 'file:rsa.pub alg=ES256' ],
        [ 'maps to "owner"', 'file:rsa.pub alg=RS256 roles=a:owner' ],
        [ 'roles= is a list', 'file:rsa.pub alg=RS256 roles=a' ];
wrong('two JWT keys have kid=a', nchat_jwt_key => 'nchat_jwt_key file:good.key
      kid=a; nchat_jwt_key file:good.key kid=a;');

# Times, numbers and words.

right('lifetimes', more => 'nchat_token_lifetime access=1h refresh=2d;');
wrong('access tokens must live for 1s at least',
      more => 'nchat_token_lifetime access=31d;');
wrong('"access=x" needs a time', more => 'nchat_token_lifetime access=x;');
wrong('unknown parameter', more => 'nchat_token_lifetime 1h;');

right("cost $_", more => "nchat_bcrypt_cost $_;") for 4, 12;
wrong('value must be', more => "nchat_bcrypt_cost $_;") for 3, 17;
wrong('invalid number', more => 'nchat_bcrypt_cost x;');

right('limits', more => "nchat_rate_limit $_ 5;")
    for qw(default upload search webhook probe);
right('no limits', more => 'nchat_rate_limit off;');
wrong('must be "off" or a class and a number',
      more => "nchat_rate_limit $_;") for 'on', '60';
wrong('must be default, upload, search, webhook or probe and a number above '
      . 'zero', more => "nchat_rate_limit $_;")
    for 'other 5', 'default 0', 'default x', 'default -1';
wrong('invalid value|must be above zero',
      more => "nchat_rate_limit_window $_;")
    for 'x', '0', '-1s';
wrong('unknown parameter "ip=5"', more => 'nchat_signin_limit ip=5;');
wrong('needs a number above zero', more => 'nchat_signin_limit address=0;');
wrong('needs a time above zero', more => 'nchat_signin_limit window=0;');

right("envelope $_", more => "nchat_envelope $_;") for qw(both data flat);
wrong('invalid value "bare"', more => 'nchat_envelope bare;');

right('origins', more => 'nchat_cors_origin https://a.example
                          http://localhost:8080;');
wrong('must be scheme, host and port only', more => "nchat_cors_origin $_;")
    for '*', 'a.example', 'https://a.example/', 'https://a.example/x',
        'https://', 'null';

wrong('may only have letters, digits, - and _',
      more => "nchat_environment '$_';") for 'a b', 'a"b', 'ä', '';
wrong('must begin with http:// or https://', more => "nchat_public_url $_;")
    for 'chat.example.com', 'ftp://chat.example.com', '/x';
wrong('names no host', more => "nchat_public_url $_;")
    for 'http://', 'https:///', 'https://:80', "'https://?x'";
wrong('may have a host, a port and a path',
      more => "nchat_public_url 'https://chat.example/$_';")
    for 'a b', 'a"b', 'ä', '?x', '#x', '<x>';
right('a public URL', more => 'nchat_public_url https://chat.example.com/;');

right('a cookie', more => 'nchat_cookie nchat_session;');
wrong("cannot be a cookie's name", more => "nchat_cookie $_;")
    for "'a b'", "''", "'a;b'", "'a=b'", 'ä';

# Places.

wrong('must be "api"', location => 'location /api/ { nchat yes; }');
wrong('is duplicate', location => 'location /api/ { nchat api; nchat api; }');
wrong('is not allowed here', more => 'nchat api;');
wrong('is not allowed here', server => 'nchat_zone x 1m;');
wrong('is not allowed here', location => 'location / { nchat_envelope data; }');

done_testing();
