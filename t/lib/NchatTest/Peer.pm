package NchatTest::Peer;

# A server that nchat asks: an HTTP server on loopback that answers, or
# misbehaves, as a test says. Each connection has a process of its own.

use strict;
use warnings;

use Fcntl qw(:flock);
use File::Temp ();
use IO::Socket::INET;

use NchatTest::Cluster qw(slurp);

my @peers;
my $tests_pid = $$;

# new(routes => { PATH => ANSWER }, tls => [certificate, key]): ANSWER is the
# bytes of a response, or a sub that gets (socket, request) and writes them.
# PATH is compared without its query; the path "*" stands for any other.
sub new {
    my ($class, %options) = @_;

    my $self = bless { %options, log => File::Temp->new }, $class;

    $self->{listener} = IO::Socket::INET->new(
        LocalAddr => '127.0.0.1', Proto => 'tcp', Listen => 128
    ) or die "a peer cannot listen: $!\n";

    $self->{port} = $self->{listener}->sockport;
    $self->{pid}  = fork // die "fork: $!\n";
    $self->_serve if !$self->{pid};

    close $self->{listener};
    push @peers, $self;

    return $self;
}

sub port { $_[0]{port} }
sub url  { ($_[0]{tls} ? 'https' : 'http') . "://127.0.0.1:$_[0]{port}" }

# requests(PATTERN): the heads of the requests so far, oldest first; their
# bodies are not kept.
sub requests {
    my ($self, $pattern) = @_;

    my @all = split /\0/, slurp($self->{log}->filename);
    return defined $pattern ? grep { $_ =~ $pattern } @all : @all;
}

sub stop {
    my $self = shift;
    my $pid  = delete $self->{pid} // return;

    kill 'KILL', -$pid;
    waitpid $pid, 0;
}

# page(BODY, NAME => VALUE...): the bytes of a good answer.
sub page {
    my ($body, %headers) = @_;

    %headers = ('Content-Type' => 'text/html; charset=utf-8', %headers);
    $headers{'Content-Length'} //= length $body;

    return "HTTP/1.1 200 OK\r\n"
         . join('', map { "$_: $headers{$_}\r\n" } sort keys %headers)
         . "Connection: close\r\n\r\n$body";
}

# redirect(WHERE, STATUS)
sub redirect {
    my ($where, $status) = @_;
    $status //= 302;
    return "HTTP/1.1 $status Elsewhere\r\nLocation: $where\r\n"
         . "Content-Length: 0\r\nConnection: close\r\n\r\n";
}

sub _serve {
    my $self = shift;

    setpgrp 0, 0;
    $SIG{CHLD} = 'IGNORE';
    $SIG{PIPE} = 'DEFAULT';

    while (1) {
        my $socket = $self->{listener}->accept or next;
        next if fork;

        eval { $self->_answer($socket) };
        require POSIX;
        POSIX::_exit(0);
    }
}

sub _answer {
    my ($self, $socket) = @_;

    if ($self->{tls}) {
        require IO::Socket::SSL;
        IO::Socket::SSL->start_SSL(
            $socket,
            SSL_server    => 1,
            SSL_cert_file => $self->{tls}[0],
            SSL_key_file  => $self->{tls}[1]
        ) or return;
    }

    my $head = '';

    until ($head =~ /\r\n\r\n/) {
        sysread $socket, $head, 4096, length $head or return;
    }

    my ($head_only, $body) = $head =~ /^(.*?\r\n\r\n)(.*)$/s;

    if ($head_only =~ /^content-length: *(\d+)/mi) {
        while (length $body < $1) {
            sysread $socket, $body, 65536, length $body or last;
        }
    }

    open my $log, '>>', $self->{log}->filename or return;
    flock $log, LOCK_EX;
    print $log "$head_only\0";
    close $log;

    my ($path) = $head_only =~ m{^\w+ ([^ ?]*)};
    my $answer = $self->{routes}{$path} // $self->{routes}{'*'}
        // "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n"
           . "Connection: close\r\n\r\n";

    return $answer->($socket, $head_only, $body) if ref $answer;

    send_bytes($socket, $answer);
}

# send_bytes(SOCKET, BYTES): all of them, or dies.
sub send_bytes {
    my ($socket, $bytes) = @_;

    while (length $bytes) {
        my $n = syswrite $socket, $bytes or die "the client left\n";
        substr($bytes, 0, $n) = '';
    }
}

END {
    if ($$ == $tests_pid) {
        my $status = $?;
        $_->stop for @peers;
        $? = $status;
    }
}

1;
