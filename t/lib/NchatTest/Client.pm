package NchatTest::Client;

# The HTTP client of the harness: a base of NchatTest, which has the ports.

use strict;
use warnings;

use Encode ();
use Exporter 'import';
use IO::Select;
use JSON::PP ();
use Time::HiRes ();

use NchatTest::Cluster qw(spew);
use NchatTest::Connection;
use NchatTest::Response;

our @EXPORT_OK = qw(chunks);

my $json = JSON::PP->new->utf8->canonical->allow_nonref;

# connection(OPTION => VALUE...): see NchatTest::Connection.
sub connection {
    my ($self, %options) = @_;
    return NchatTest::Connection->new(port => $self->{port}, %options);
}

# request(METHOD, PATH, OPTION => VALUE...): returns (the bytes of a request).
#   json      data, sent as JSON       body   bytes, sent as they are
#   token     a bearer token           headers { name => value or undef }
#   chunked   true, or a chunk size: the body is sent in chunks
#   close     true: with Connection: close
sub request {
    my ($self, $method, $path, %options) = @_;
    my $body = exists $options{json} ? $json->encode($options{json})
                                     : $options{body};

    my %headers = (Host => "localhost:$self->{port}");
    $headers{'Content-Type'}  = 'application/json' if exists $options{json};
    $headers{'Authorization'} = "Bearer $options{token}" if $options{token};
    $headers{'Connection'}    = 'close' if $options{close};

    if (defined $body && $options{chunked}) {
        $headers{'Transfer-Encoding'} = 'chunked';
        $body = chunks($body, $options{chunked});

    } elsif (defined $body) {
        $headers{'Content-Length'} = length $body;
    }

    my $given = $options{headers} // {};
    for my $name (keys %$given) {
        delete $headers{$_} for grep { lc eq lc $name } keys %headers;
        $headers{$name} = $given->{$name};
    }

    return "$method $path HTTP/1.1\r\n"
           . join('', map { "$_: $headers{$_}\r\n" }
                      grep { defined $headers{$_} } sort keys %headers)
           . "\r\n" . ($body // '');
}

# chunks(BYTES, SIZE): the bytes as a chunked body.
sub chunks {
    my ($body, $size) = @_;
    my $out = '';

    $size = 1000 if $size == 1;
    while (length $body) {
        my $piece = substr $body, 0, $size, '';
        $out .= sprintf "%x\r\n%s\r\n", length $piece, $piece;
    }

    return "${out}0\r\n\r\n";
}

# http(METHOD, PATH, OPTION => VALUE...): sends a request, returns a
# NchatTest::Response. Options: those of request, and
#   on        a connection to use again (keepalive)
#   timeout   seconds, 30
sub http {
    my ($self, $method, $path, %options) = @_;
    my $connection = $options{on}
                     // $self->connection(timeout => $options{timeout} // 30);

    $connection->send($method, $self->request($method, $path, %options));
    my $response = $connection->receive
        or die "$method $path: the connection was closed without an answer\n";

    $self->record($method, $path, $response, \%options);
    return $response;
}

sub get     { my $self = shift; return $self->http('GET', @_) }
sub head    { my $self = shift; return $self->http('HEAD', @_) }
sub options { my $self = shift; return $self->http('OPTIONS', @_) }
sub delete  { my $self = shift; return $self->http('DELETE', @_) }
sub put     { my $self = shift; return $self->http('PUT', @_) }

# post(PATH, DATA, OPTION => VALUE...), patch(…): with a JSON body.
sub post {
    my ($self, $path, $data, %options) = @_;
    return $self->http('POST', $path, json => $data, %options);
}

sub patch {
    my ($self, $path, $data, %options) = @_;
    return $self->http('PATCH', $path, json => $data, %options);
}

# raw(BYTES): sends them on a connection of their own, returns the answers up to
# its end (or after `timeout` seconds, 5).
sub raw {
    my ($self, $bytes, %options) = @_;
    my $connection = $self->connection(timeout => $options{timeout} // 5);
    my @answers;

    $connection->queue(undef, $bytes);
    eval {
        $connection->send(undef, '');
        while (my $answer = $connection->receive) { push @answers, $answer }
    };

    # Of several requests at once nobody knows which answer is whose.
    my @line = $bytes =~ m{^([A-Z]+) (\S+) HTTP/}mg;
    $self->record(@line == 2 ? @line : ('-', '-'), $_, {}) for @answers;

    return @answers;
}

# parallel([METHOD, PATH, OPTION => VALUE...]...): sends all of them at once,
# each on its own connection; returns the answers in the same order, undef where
# there was none.
sub parallel {
    my ($self, @requests) = @_;
    my (@answers, %waiting, %index);
    my $deadline = Time::HiRes::time() + 60;

    for my $i (0 .. $#requests) {
        my ($method, $path, %options) = @{ $requests[$i] };
        my $connection = $self->connection(from => $options{from});
        $connection->queue($method, $self->request($method, $path, %options));
        $index{ fileno $connection->socket }   = $i;
        $waiting{ fileno $connection->socket } = $connection;
    }

    while (%waiting && Time::HiRes::time() < $deadline) {
        my $read  = IO::Select->new(map { $_->socket } values %waiting);
        my $write = IO::Select->new(map { $_->socket }
                                    grep { $_->wants_write } values %waiting);
        my ($readable, $writable) = IO::Select->select($read, $write, undef, 1);

        $waiting{ fileno $_ }->on_writable for @{ $writable // [] };

        for my $socket (@{ $readable // [] }) {
            my $connection = $waiting{ fileno $socket };
            my $i          = $index{ fileno $socket };

            $connection->on_readable;
            $answers[$i] = $connection->parse;
            next if !$answers[$i] && !$connection->{closed};

            CORE::delete $waiting{ fileno $socket };
            my ($method, $path, %options) = @{ $requests[$i] };
            $self->record($method, $path, $answers[$i], \%options)
                if $answers[$i];
        }
    }

    $#answers = $#requests;
    return @answers;
}

# http2(METHOD, PATH, OPTION => VALUE...): over TLS and HTTP/2, by curl. Needs
# the option tls of new.
sub http2 {
    my ($self, $method, $path, %options) = @_;
    my $given = $options{headers} // {};
    my @arguments = ('-X', $method);

    @arguments = ('-I') if $method eq 'HEAD';
    push @arguments, '-H', "$_: $given->{$_}" for sort keys %$given;
    push @arguments, '-H', "Authorization: Bearer $options{token}"
        if $options{token};

    if (exists $options{json} || defined $options{body}) {
        spew("$self->{temp}/body", exists $options{json}
                                   ? $json->encode($options{json})
                                   : $options{body});
        push @arguments, '-H', 'Content-Type: application/json',
                         '--data-binary', "\@$self->{temp}/body";
    }

    my $output = $self->curl('-i', '-k', '--http2', @arguments,
                             $self->tls_url . $path);
    $output =~ s/^HTTP\/2 /HTTP\/1.1 /;

    my $connection = bless { in => $output, closed => 1, heads => [$method],
                             started => Time::HiRes::time() },
                           'NchatTest::Connection';
    my $response = $connection->parse
        or die "$method $path over HTTP/2: no answer\n";
    $self->record($method, $path, $response, \%options);

    return $response;
}

# curl(ARGUMENT...): what it prints.
sub curl {
    my ($self, @arguments) = @_;

    open my $pipe, '-|', 'curl', '-s', '--noproxy', '*', '-m', 30, @arguments
        or die "curl: $!\n";
    binmode $pipe;
    local $/;

    return <$pipe> // '';
}

# NCHAT_CONTRACT_LOG: a file that gets every answer as a line of JSON.
sub record {
    my ($self, $method, $path, $response, $options) = @_;
    my $file = $ENV{NCHAT_CONTRACT_LOG} or return;

    my %entry = (
        test    => $0,
        method  => $method,
        path    => $path,
        status  => $response->status + 0,
        headers => $response->headers,
        body    => substr(Encode::decode('UTF-8', $response->body), 0, 262144)
    );
    $entry{request}  = $options->{json} if exists $options->{json};
    $entry{envelope} = $1
        if ($self->{options}{http} // '') =~ /nchat_envelope\s+(\w+)/;

    open my $out, '>>', $file or die "$file: $!\n";
    syswrite $out, $json->encode(\%entry) . "\n";
}

1;
