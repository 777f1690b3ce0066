package NchatTest::Dns;

# A name server on loopback for nginx's resolver. Each name has a list of
# answers, one for each query in turn; the last one stays.

use strict;
use warnings;

use IO::Socket::INET;
use Socket qw(inet_pton AF_INET AF_INET6);

my @servers;
my $tests_pid = $$;

# new(NAME => [ANSWER...], ...): an ANSWER is a string of addresses with spaces
# between them, '' for none, 'NXDOMAIN', or 'SILENCE'.
sub new {
    my ($class, %names) = @_;

    my $self = bless { names => \%names }, $class;

    $self->{socket} = IO::Socket::INET->new(
        LocalAddr => '127.0.0.1', Proto => 'udp'
    ) or die "no name server: $!\n";

    $self->{port} = $self->{socket}->sockport;
    $self->{pid}  = fork // die "fork: $!\n";
    $self->_serve if !$self->{pid};

    close $self->{socket};
    push @servers, $self;

    return $self;
}

sub port { $_[0]{port} }

# The directive that makes nginx ask this server.
sub directive {
    my ($self, %options) = @_;
    my $valid = $options{valid} // '1s';
    return "resolver  127.0.0.1:$self->{port} valid=$valid;";
}

sub stop {
    my $self = shift;
    my $pid  = delete $self->{pid} // return;

    kill 'KILL', $pid;
    waitpid $pid, 0;
}

sub _serve {
    my $self = shift;
    my %asked;

    while (1) {
        my $peer = recv $self->{socket}, my $query, 512, 0;
        next if !defined $peer || length $query < 17;

        # the question: labels, a zero, type and class

        my ($id) = unpack 'n', $query;
        my ($place, @labels) = (12);

        while (my $length = ord substr $query, $place, 1) {
            push @labels, substr $query, $place + 1, $length;
            $place += $length + 1;
        }

        my $name = lc join '.', @labels;
        my ($type) = unpack 'n', substr $query, $place + 1, 2;
        my $question = substr $query, 12, $place + 5 - 12;

        my $list = $self->{names}{$name} // ['NXDOMAIN'];
        my $turn = $asked{"$name $type"}++;
        my $answer = $list->[$turn < @$list ? $turn : $#$list];

        next if $answer eq 'SILENCE';

        my $code = $answer eq 'NXDOMAIN' ? 3 : 0;
        my @records;

        for my $address ($code ? () : split ' ', $answer) {
            my $family = $address =~ /:/ ? AF_INET6 : AF_INET;
            next if $type != ($family == AF_INET ? 1 : 28);
            my $data = inet_pton($family, $address);
            push @records, pack 'nnnNn/a', 0xc00c, $type, 1, 1, $data;
        }

        send $self->{socket},
             pack('nnnnnn', $id, 0x8180 | $code, 1, scalar @records, 0, 0)
             . $question . join('', @records), 0, $peer;
    }
}

END {
    if ($$ == $tests_pid) {
        my $status = $?;
        $_->stop for @servers;
        $? = $status;
    }
}

1;
