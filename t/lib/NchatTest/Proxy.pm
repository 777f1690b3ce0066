package NchatTest::Proxy;

# A TCP proxy in a process of its own, between nginx and Postgres, that can be
# told to misbehave:
#
#   my $proxy = NchatTest::Proxy->new($port_of_the_server);
#   $proxy->port;
#   $proxy->hang;          nothing is passed on any more, nor refused
#   $proxy->flow;          as at the beginning; what was held back follows
#   $proxy->cut;           all connections are reset, new ones are served
#   $proxy->swallow(N);    after N more bytes of the server, they disappear

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_LINGER);

sub new {
    my ($class, $target) = @_;

    my $listen = IO::Socket::INET->new(
        LocalAddr => '127.0.0.1', Proto => 'tcp', Listen => 128
    ) or die "no proxy: $!\n";

    pipe my $orders, my $writer or die "pipe: $!\n";
    pipe my $answers, my $done  or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        close $writer;
        eval { _serve($listen, $target, $orders, $done) };
        print STDERR "proxy: $@" if $@;
        kill KILL => $$;
    }

    close $done;
    return bless { pid => $pid, port => $listen->sockport, writer => $writer,
                   answers => $answers, owner => $$ }, $class;
}

sub port { $_[0]{port} }

sub hang    { $_[0]->_order('hang') }
sub flow    { $_[0]->_order('flow') }
sub cut     { $_[0]->_order('cut') }
sub swallow { $_[0]->_order("swallow $_[1]") }

# Returns when the order is carried out.
sub _order {
    my ($self, $order) = @_;

    syswrite $self->{writer}, "$order\n";
    sysread $self->{answers}, my $answer, 1;
}

sub _serve {
    my ($listen, $target, $orders, $done) = @_;
    my (%peer, %server, $hung, $swallow);

    my $cut = sub {
        my $socket = shift;
        my $other  = delete $peer{$socket} or return;
        delete $peer{ $other->[0] };
        for ($other->[0], $other->[1]) {
            setsockopt $_, SOL_SOCKET, SO_LINGER, pack 'II', 1, 0;
            close $_;
        }
    };

    for (;;) {
        my @sockets = map { $_->[1] } values %peer;
        my $select  = IO::Select->new($orders,
                                      $hung ? () : ($listen, @sockets));

        for my $ready ($select->can_read) {
            if ($ready == $orders) {
                sysread $orders, my $order, 100 or return;
                ($hung, $swallow) = ($1 eq 'hang', $2)
                    if $order =~ /^(hang|flow|swallow)(?: (\d+))?/;
                $cut->($_) for $order =~ /^cut/ ? @sockets : ();
                syswrite $done, '.';
                last;
            }

            if ($ready == $listen) {
                my $client = $listen->accept or next;
                my $server = IO::Socket::INET->new(
                    PeerAddr => '127.0.0.1', PeerPort => $target
                );
                if (!$server) {
                    close $client;
                    next;
                }
                $peer{$client}   = [ $server, $client ];
                $peer{$server}   = [ $client, $server ];
                $server{$server} = 1;
                next;
            }

            my $other = $peer{$ready} or next;
            my $got   = sysread $ready, my $bytes, 65536;

            if (!$got) {
                $cut->($ready);
                next;
            }

            if (defined $swallow && $server{$ready}) {
                $bytes   = substr $bytes, 0, $swallow;
                $swallow -= length $bytes;
            }

            while (length $bytes) {
                my $sent = syswrite $other->[0], $bytes;
                last if !$sent;
                substr $bytes, 0, $sent, '';
            }
        }
    }
}

sub DESTROY {
    my $self = shift;
    local $?;

    return if $self->{owner} != $$;
    close $self->{writer};
    kill KILL => $self->{pid};
    waitpid $self->{pid}, 0;
}

1;
