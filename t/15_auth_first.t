# The first account ever is the owner: exactly one, however many come at once,
# to however many workers and nodes.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use NchatTest;

sub signup {
    my ($name, %more) = @_;
    return [ POST => '/api/auth/signup', json => {
        email => "$name\@example.com", username => $name,
        password => 'Passw0rd', %more } ];
}

sub statuses {
    my %count;
    $count{ $_ ? $_->status : 'none' }++ for @_;
    return \%count;
}

for my $round (1 .. 3) {
    my $n = NchatTest->new(workers => 4);

    my @answers = $n->parallel(map { signup("user$_", role => 'owner') } 1 .. 50);
    is_deeply(statuses(@answers), { 200 => 50 }, 'fifty sign up at once');

    my %roles;
    $roles{ $_->json->{user}{role} }++ for @answers;
    is_deeply(\%roles, { owner => 1, member => 49 }, 'one is the owner');
    is($n->psql("SELECT string_agg(role || ' ' || n, ', ' ORDER BY role)
                   FROM (SELECT role, count(*) n FROM users GROUP BY role) r"),
       'member 49, owner 1', 'the database says so, too');

    # The token says it as well, and nobody else gets in.

    my ($owner) = grep { $_->json->{user}{role} eq 'owner' } @answers;
    my ($other) = grep { $_->json->{user}{role} ne 'owner' } @answers;
    is($n->patch('/api/config', {}, token => $owner->json->{accessToken})
         ->status, 200, 'the owner may change the configuration');
    is($n->patch('/api/config', {}, token => $other->json->{accessToken})
         ->status, 403, 'the others may not');
}


# Two nodes, each of them the first.

my $one  = NchatTest->new;
my $two  = NchatTest->new(share => $one);

pipe my $in, my $out or die "pipe: $!\n";
my $child = fork // die "fork: $!\n";
if (!$child) {
    syswrite $out, join ' ', map { $_->json->{user}{role} // $_->status }
             $two->parallel(map { signup("two$_") } 1 .. 25);
    kill KILL => $$;
}
close $out;
my @roles = map { $_->json->{user}{role} // $_->status }
            $one->parallel(map { signup("one$_") } 1 .. 25);
waitpid $child, 0;
push @roles, split ' ', <$in>;

is(scalar(grep { $_ eq 'owner' } @roles), 1, 'one owner of two nodes');
is(scalar(grep { $_ eq 'member' } @roles), 49, 'and 49 members');


# The same email or name at once: one of them.

for my $case ([ email => 'username', sub { signup("mail$_[0]",
                                            email => 'Same@example.com') } ],
              [ username => 'email', sub { signup("name$_[0]",
                                            username => 'Same_name') } ])
{
    my ($field, undef, $request) = @$case;
    my @answers = $one->parallel(map { $request->($_) } 1 .. 20);

    is_deeply(statuses(@answers), { 200 => 1, 409 => 19 },
              "the same $field twenty times: one gets it");
    my ($taken) = grep { $_->status == 409 } @answers;
    is_error($taken, 409, 'CONFLICT', 'the others are told');
    is($taken->json->{details}{field}, $field, 'what is taken');
}

finish();
