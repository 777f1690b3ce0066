package NchatTest::Response;

# One answer: status, reason, headers (names in lower case, repeated ones joined
# by ", "), body (bytes), json (the decoded body, undef if it is none), time
# (seconds until it was complete).

use strict;
use warnings;

use JSON::PP ();

my $json = JSON::PP->new->utf8->allow_nonref;

sub new {
    my ($class, %self) = @_;
    return bless {%self}, $class;
}

sub status  { $_[0]{status} }
sub reason  { $_[0]{reason} }
sub headers { $_[0]{headers} }
sub body    { $_[0]{body} }
sub time    { $_[0]{time} }
sub closed  { $_[0]{closed} }
sub header  { $_[0]{headers}{ lc $_[1] } }

sub json {
    my $self = shift;

    if (!exists $self->{json}) {
        $self->{json} = eval { $json->decode($self->{body}) };
    }

    return $self->{json};
}

# The error code of the envelope, or ''.
sub code {
    my $body = $_[0]->json;
    return ref $body eq 'HASH' ? $body->{code} // '' : '';
}

# A short form for diagnostics.
sub summary {
    my $self = shift;
    return ($self->{status} // 'no answer') . ' '
           . substr($self->{body} // '', 0, 400);
}

1;
