package NchatTest::Connection;

# A client connection: sends bytes, and reads answers one by one with their
# framing (Content-Length, chunked, until close). Everything is non-blocking
# inside, so that NchatTest's `parallel` can drive many of them at once.

use strict;
use warnings;

use Errno qw(EAGAIN EINTR EINPROGRESS EWOULDBLOCK);
use IO::Select;
use IO::Socket::INET;
use Time::HiRes ();

use NchatTest::Response;

# new(port => N, host => '127.0.0.1', timeout => seconds for each answer)
sub new {
    my ($class, %options) = @_;

    my $socket = IO::Socket::INET->new(
        PeerHost => $options{host} // '127.0.0.1',
        PeerPort => $options{port},
        LocalAddr => $options{from},
        Proto    => 'tcp'
    ) or die "cannot connect to port $options{port}: $!\n";

    $socket->blocking(0);
    $socket->autoflush(1);

    return bless {
        socket  => $socket,
        timeout => $options{timeout} // 30,
        out     => '',
        in      => '',
        heads   => [],
        closed  => 0
    }, $class;
}

sub socket { $_[0]{socket} }

sub close {
    my $self = shift;
    CORE::close $self->{socket};
    $self->{closed} = 1;
}

# Gives a reset to the peer instead of an orderly end.
sub abort {
    my $self = shift;
    setsockopt $self->{socket}, SOL_SOCKET, SO_LINGER, pack 'II', 1, 0;
    $self->close;
}

# queue(METHOD, BYTES): bytes to send that ask for one answer. METHOD decides
# whether that answer has a body.
sub queue {
    my ($self, $method, $bytes) = @_;

    push @{ $self->{heads} }, $method if defined $method;
    $self->{out} .= $bytes;
    $self->{started} = Time::HiRes::time();
}

# send(METHOD, BYTES): queues and sends as much as the socket takes, waiting for
# it to take all.
sub send {
    my ($self, $method, $bytes) = @_;

    $self->queue($method, $bytes);
    $self->_wait(sub { $self->{out} eq '' || $self->{closed} });
}

# Sends without waiting for all of it to leave; for bodies that the server does
# not read.
sub send_some {
    my ($self, $bytes) = @_;

    $self->{out} .= $bytes;
    $self->_write;
}

# The next answer, or undef if the connection ends without one.
sub receive {
    my $self = shift;
    my $answer;

    $self->_wait(sub { $answer = $self->parse; $answer || $self->{closed} });
    return $answer // $self->parse;
}

# True if the server closes within SECONDS.
sub is_closed_within {
    my ($self, $seconds) = @_;

    local $self->{timeout} = $seconds;
    return eval { $self->_wait(sub { $self->{closed} }); 1 } // 0;
}

sub wants_write { $_[0]{out} ne '' && !$_[0]{closed} }

sub _wait {
    my ($self, $done) = @_;
    my $deadline = Time::HiRes::time() + $self->{timeout};

    until ($done->()) {
        my $left = $deadline - Time::HiRes::time();
        die "no answer within $self->{timeout} s\n" if $left <= 0;

        my $read  = IO::Select->new($self->{socket});
        my $write = $self->wants_write ? IO::Select->new($self->{socket})
                                       : undef;

        my ($readable, $writable) = IO::Select->select($read, $write, undef,
                                                       $left);
        $self->on_writable if $writable && @$writable;
        $self->on_readable if $readable && @$readable;
    }
}

sub on_writable { $_[0]->_write }

sub _write {
    my $self = shift;

    while ($self->{out} ne '') {
        local $SIG{PIPE} = 'IGNORE';
        my $sent = syswrite $self->{socket}, $self->{out};

        if (!defined $sent) {
            return if $!{EAGAIN} || $!{EWOULDBLOCK} || $!{EINTR};
            $self->{out} = '';    # reading tells what happened
            return;
        }

        substr $self->{out}, 0, $sent, '';
    }
}

sub on_readable {
    my $self = shift;

    my $got = sysread $self->{socket}, $self->{in}, 65536, length $self->{in};
    return if !defined $got && ($!{EAGAIN} || $!{EINTR});

    $self->{closed} = 1 if !$got;
}

# parse: takes one complete answer from what was read; undef if there is none.
sub parse {
    my $self = shift;

    $self->_parse_head or return if !$self->{head};
    my $body = $self->_parse_body;
    return if !defined $body;

    my $head = delete $self->{head};
    shift @{ $self->{heads} };

    return NchatTest::Response->new(
        %$head,
        body   => $body,
        closed => $self->{closed},
        time   => Time::HiRes::time() - ($self->{started} // 0)
    );
}

sub _parse_head {
    my $self = shift;

    while ($self->{in} =~ /^(.*?)\r\n\r\n/s) {
        my @lines = split /\r\n/, $1;
        substr $self->{in}, 0, length($1) + 4, '';

        my ($status, $reason) = (shift @lines) =~ m{^HTTP/1\.\d (\d+) ?(.*)$}
            or die "not an HTTP answer\n";
        next if $status < 200;

        my %headers;
        for (@lines) {
            my ($name, $value) = /^([^:]+):\s*(.*?)\s*$/ or next;
            $name = lc $name;
            $headers{$name} = exists $headers{$name} ? "$headers{$name}, $value"
                                                     : $value;
        }

        $self->{head} = { status => $status, reason => $reason,
                          headers => \%headers };
        return 1;
    }

    return 0;
}

sub _parse_body {
    my $self    = shift;
    my $head    = $self->{head};
    my $headers = $head->{headers};

    if (($self->{heads}[0] // '') eq 'HEAD' || $head->{status} == 204
        || $head->{status} == 304)
    {
        return '';
    }

    if (lc($headers->{'transfer-encoding'} // '') eq 'chunked') {
        return $self->_parse_chunks;
    }

    my $length = $headers->{'content-length'};

    if (!defined $length) {
        return if !$self->{closed};
        $length = length $self->{in};
    }

    return if length $self->{in} < $length;
    return substr $self->{in}, 0, $length, '';
}

sub _parse_chunks {
    my $self = shift;
    my ($at, $body) = (0, '');

    for (;;) {
        pos($self->{in}) = $at;
        return if $self->{in} !~ /\G([0-9A-Fa-f]+)[^\r]*\r\n/g;
        my ($size, $head) = (hex $1, pos($self->{in}) - $at);

        return if length $self->{in} < $at + $head + $size + 2;

        $body .= substr $self->{in}, $at + $head, $size;
        $at   += $head + $size + 2;

        if ($size == 0) {
            substr $self->{in}, 0, $at, '';
            return $body;
        }
    }
}

1;
