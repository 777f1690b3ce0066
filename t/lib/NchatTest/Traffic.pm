package NchatTest::Traffic;

# Clients that ask all the time, each in a process of its own, while the test
# does something to the server.
#
#   my $traffic = NchatTest::Traffic->start($n, clients => 4, requests => sub {
#       my ($client, $i) = @_;
#       return [ GET => '/api/health' ];        # any arguments of http()
#   });
#   ...
#   my @records = $traffic->stop;
#
# A record is { begin, end, method, path, status, code, good, client, i }: status
# 0 means that there was no answer, and good that its body had the shape that
# every answer has. begin and end are seconds of the clock. Other options:
#
#   keepalive   true: a client keeps its connection, and opens another one
#               when the server has closed it
#   pause       seconds between two requests, 0.005
#   timeout     seconds to wait for an answer, 20

use strict;
use warnings;

use File::Temp ();
use IO::Select;
use Time::HiRes qw(time sleep);

sub start {
    my ($class, $instance, %options) = @_;
    my $self = bless { children => [], %options }, $class;

    pipe my $reader, $self->{writer} or die "pipe: $!\n";

    for my $client (1 .. $options{clients} // 4) {
        my $file = File::Temp->new;
        my $pid  = fork // die "fork: $!\n";

        if (!$pid) {
            close $self->{writer};
            $self->_client($instance, $client, $reader, $file);
            $file->flush;
            kill KILL => $$;    # without anything that an end brings along
        }

        push @{ $self->{children} }, { pid => $pid, file => $file };
    }

    return $self;
}

# stop: returns the records, by the time at which they began.
sub stop {
    my $self = shift;
    my @records;

    close $self->{writer};

    for my $child (@{ $self->{children} }) {
        waitpid $child->{pid}, 0;

        open my $in, '<', $child->{file}->filename or die "$!\n";
        while (<$in>) {
            chomp;
            my %record;
            @record{qw(client i begin end method path status code good)}
                = split /\t/;
            push @records, \%record;
        }
    }

    $self->{children} = [];
    return sort { $a->{begin} <=> $b->{begin} } @records;
}

sub _client {
    my ($self, $instance, $client, $reader, $file) = @_;
    my $stop = IO::Select->new($reader);
    my $pause = $self->{pause} // 0.005;
    my $connection;

    for (my $i = 1; !$stop->can_read(0); $i++) {
        my ($method, $path, %options) = @{ $self->{requests}->($client, $i) };
        my $begin = time;
        my $response;

        for my $attempt (1, 2) {
            my $fresh = !$connection;

            $response = eval {
                $connection //= $instance->connection(
                    timeout => $self->{timeout} // 20
                );
                $connection->send($method, $instance->request(
                    $method, $path,
                    close => !$self->{keepalive}, %options
                ));
                $connection->receive;
            };

            # The server may end a connection between two requests.
            last if $response || $fresh;
            undef $connection;
        }

        my $keep = $self->{keepalive} && $response
                   && ($response->header('connection') // '') ne 'close';
        undef $connection if !$keep;

        print $file join("\t", $client, $i, $begin, time, $method, $path,
                         $response ? $response->status : 0,
                         $response ? $response->code : $@ =~ s/\s+/ /gr,
                         $response ? _good($response) : 0), "\n";
        sleep $pause if $pause;
    }
}

sub _good {
    my $response = shift;

    return 1 if $response->status == 204 || $response->status == 304;

    my $body = $response->json;
    return ref $body eq 'HASH' && exists $body->{success}
           && ($body->{success} ? $response->status < 300
                                : length $body->{error} && $body->{code}
                                  && ref $body->{details} eq 'HASH') ? 1 : 0;
}

sub DESTROY {
    my $self = shift;
    local $?;

    close $self->{writer} if $self->{writer};
    waitpid $_->{pid}, 0 for @{ $self->{children} };
}

1;
