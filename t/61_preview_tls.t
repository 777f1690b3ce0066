# Link previews over TLS: whom we trust, and for which name.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use File::Temp ();
use NchatTest;
use NchatTest::Dns;
use NchatTest::Peer;

my $dir = File::Temp->newdir;

sub openssl {
    my $output = qx(openssl @_ 2>&1);
    die "openssl @_:\n$output" if $?;
}

# certificate(FILE, SUBJECT NAMES, DAYS...): signed by our authority.
sub certificate {
    my ($name, $names, @days) = @_;

    openssl("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -keyout $dir/$name.key -out $dir/$name.csr");
    open my $file, '>', "$dir/$name.ext" or die $!;
    print $file "subjectAltName=$names\n";
    close $file;
    openssl("x509 -req -in $dir/$name.csr -CA $dir/ca.pem -CAkey $dir/ca.key -CAcreateserial -extfile $dir/$name.ext "
            . "-out $dir/$name.pem @days");
    return [ "$dir/$name.pem", "$dir/$name.key" ];
}

openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=ca -days 3 -keyout $dir/ca.key -out $dir/ca.pem");
openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=good.test -addext subjectAltName=DNS:good.test "
        . "-days 3 -keyout $dir/self.key -out $dir/self.pem");

my %routes = ('*' => NchatTest::Peer::page('<title>Safe</title>'));
my $good = NchatTest::Peer->new(routes => \%routes, tls => certificate('good', 'DNS:good.test,DNS:*.wild.test'));
my $self = NchatTest::Peer->new(routes => \%routes, tls => [ "$dir/self.pem", "$dir/self.key" ]);
my $old  = NchatTest::Peer->new(routes => \%routes, tls => certificate('old', 'DNS:good.test', '-days -1'));
my $none = NchatTest::Peer->new(routes => \%routes);
my $from = NchatTest::Peer->new(routes => {
    '/to-tls'   => NchatTest::Peer::redirect('https://good.test:' . $good->port . '/'),
    '/to-wrong' => NchatTest::Peer::redirect('https://wrong.test:' . $good->port . '/'),
});

my @names = qw(good.test wrong.test a.wild.test a.b.wild.test);
my $dns   = NchatTest::Dns->new(map { $_ => ['127.0.0.1'] } @names);
my $n     = NchatTest->new(
    set => {
        resolver                      => $dns->directive,
        proxy_ssl_trusted_certificate => "proxy_ssl_trusted_certificate $dir/ca.pem;"
    },
    http => join '', map { 'nchat_fetch_allow 127.0.0.1 ' . $_->port . ";\n" } $good, $self, $old, $none, $from
);

sub preview { $n->get('/api/link-preview?url=' . $_[0]) }

is(preview('https://good.test:' . $good->port . '/')->json->{title}, 'Safe', 'a good certificate');
is(preview('https://a.wild.test:' . $good->port . '/')->json->{title}, 'Safe', 'a wildcard');
is(preview('https://good.test.:' . $good->port . '/')->json->{title}, 'Safe', 'a name with its last dot');
is_error(preview("https://$_->[0]:" . $_->[1]->port . '/'), 400, 'FETCH_FAILED', $_->[2]) for
    [ 'wrong.test', $good, 'a certificate for another name' ], [ 'a.b.wild.test', $good, 'a wildcard is for one label' ],
    [ 'good.test', $self, 'a self-signed certificate' ], [ 'good.test', $old, 'an expired certificate' ],
    [ '127.0.0.1', $good, 'an address that the certificate does not have' ];
is_error(preview('https://good.test:' . $none->port . '/'), 400, 'TIMEOUT', 'a server that does not know what TLS is');
is(scalar $none->requests, 0, 'nothing was sent in the clear');

my $base = 'http://good.test:' . $from->port;
is(preview("$base/to-tls")->json->{title}, 'Safe', 'a redirect to TLS');
is_error(preview("$base/to-wrong"), 400, 'FETCH_FAILED', 'a redirect to a wrong name');

my ($head) = $good->requests;
like($head, qr/^Host: good\.test:\d+\r$/m, 'Host');

finish();
