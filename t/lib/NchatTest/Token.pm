package NchatTest::Token;

# Tokens as a test wants them: read, changed, and signed by any key.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256);
use Exporter 'import';
use File::Temp ();
use JSON::PP ();
use MIME::Base64 qw(encode_base64url decode_base64url);

use NchatTest::Cluster qw(slurp spew);

our @EXPORT = qw(claims_of header_of sign_token changed_token server_key
                 make_key_pair);

my $json = JSON::PP->new->utf8->canonical;

sub header_of { $json->decode(decode_base64url((split /\./, $_[0])[0])) }
sub claims_of { $json->decode(decode_base64url((split /\./, $_[0])[1])) }

# server_key(INSTANCE): the bytes that the server signs with.
sub server_key {
    my $key = slurp($_[0]->home . '/jwt.key');
    $key =~ s/\n\z//;
    return $key;
}

# sign_token(KEY, CLAIMS, HEADER): KEY is a secret (HS256), or the name of a
# file with a private key (RS256, ES256: as the header's alg says, or as real
# says where the header lies).
sub sign_token {
    my ($key, $claims, %header) = @_;
    my $real = delete $header{real} // $header{alg} // 'HS256';

    %header = (alg => 'HS256', typ => 'JWT', %header);
    my $text = join '.', map { encode_base64url($json->encode($_)) }
                             \%header, $claims;

    my $signature = $real eq 'HS256' ? hmac_sha256($text, $key)
                  : $real eq 'none'  ? ''
                                     : openssl_signature($key, $text, $real);
    return "$text." . encode_base64url($signature);
}

# changed_token(TOKEN, KEY, CLAIM => VALUE...): with other claims, signed again;
# undef takes one away.
sub changed_token {
    my ($token, $key, %changes) = @_;
    my $claims = claims_of($token);

    for my $name (keys %changes) {
        $claims->{$name} = $changes{$name};
        delete $claims->{$name} if !defined $changes{$name};
    }

    return sign_token($key, $claims, %{ header_of($token) });
}

sub openssl_signature {
    my ($file, $text, $alg) = @_;
    my $input = File::Temp->new;

    spew($input->filename, $text);
    open my $pipe, '-|', qw(openssl dgst -sha256 -sign), $file,
        $input->filename or die "openssl: $!\n";
    binmode $pipe;
    my $signature = do { local $/; <$pipe> };
    close $pipe or die "openssl dgst failed\n";

    return $alg eq 'ES256' ? raw_signature($signature) : $signature;
}

# RFC 7518, section 3.4: r and s of 32 bytes each, where openssl has DER.
sub raw_signature {
    my $der = shift;
    my ($r, $s) = $der =~ /^\x30.\x02(.)/s
        ? unpack('x3 C/a x C/a', $der) : die "no ECDSA signature\n";

    return join '', map { substr "\0" x 32 . $_, -32 } $r, $s;
}

# make_key_pair(FOLDER, NAME, ALGORITHM): writes NAME.key and NAME.pub there,
# returns both names.
sub make_key_pair {
    my ($folder, $name, $alg) = @_;
    my ($private, $public) = map { "$folder/$name.$_" } qw(key pub);
    my @kind = $alg eq 'ES256' ? qw(EC -pkeyopt ec_paramgen_curve:P-256)
                               : qw(RSA -pkeyopt rsa_keygen_bits:2048);

    system('openssl', 'genpkey', '-quiet', '-algorithm', @kind,
           '-out', $private) == 0
        or system("openssl genpkey -algorithm @kind -out $private 2>/dev/null")
           == 0
        or die "openssl genpkey failed\n";
    system('openssl', 'pkey', '-in', $private, '-pubout', '-out', $public) == 0
        or die "openssl pkey failed\n";

    return ($private, $public);
}

1;
