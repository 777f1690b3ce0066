package SqlTest;

# Helpers for tests of the SQL functions: databases with both roles, calls that
# give rows as hashes, statements at the same moment.

use strict;
use warnings;

use Exporter 'import';
use File::Temp ();
use JSON::PP ();

use NchatTest::Cluster;

our @EXPORT = qw(new_database migrate call row rows refusal at_once uuid value
                 literal body);

my $json = JSON::PP->new->utf8->canonical;

# A migrated database: { owner => URL, module => URL }.
sub new_database {
    my %db = (owner => NchatTest::Cluster->shared->database);

    migrate($db{owner});
    $db{module} = module_url($db{owner});

    return \%db;
}

# Runs nchat-migrate; returns its exit code and what it printed.
sub migrate {
    my $url = shift;

    local $ENV{NCHAT_DATABASE_URL} = $url;
    my $output = `bin/nchat-migrate 2>&1`;

    return ($? >> 8, $output);
}

sub module_url {
    my $owner = shift;

    my $role = value($owner, 'SELECT nchat_module_role()');
    my $password = value($owner, 'SELECT value FROM node_secrets'
                                 . " WHERE name = 'module_password'");

    (my $url = $owner) =~ s{//[^@]*@}{//$role:$password@};
    return $url;
}

sub literal {
    my $value = shift;

    return 'NULL' if !defined $value;
    return $$value if ref $value eq 'SCALAR';       # SQL as it is
    $value = $json->encode($value) if ref $value;
    $value =~ s/'/''/g;
    return "'$value'";
}

# The SQL of a call; `body` of its row is decoded by row().
sub statement {
    my ($function, @arguments) = @_;
    return "SELECT * FROM $function("
           . join(', ', map { literal($_) } @arguments) . ')';
}

sub call {
    my ($url, $function, @arguments) = @_;
    return row($url, statement($function, @arguments));
}

# A row as a hash, its JSON columns decoded.
sub decoded {
    my $row = $json->decode(shift);

    for my $name (qw(body doc open_doc entry)) {
        $row->{$name} = JSON::PP->new->decode($row->{$name})
            if defined $row->{$name} && !ref $row->{$name};
    }

    return $row;
}

sub rows {
    my ($url, $sql) = @_;

    my $output = NchatTest::Cluster::psql(
        $url, "SELECT row_to_json(r) FROM ($sql) r;");
    utf8::encode($output);

    return map { decoded($_) } split /\n/, $output;
}

sub row {
    my @rows = rows(@_);
    return $rows[0];
}

sub body {
    return call(@_)->{body};
}

# The first column of the first row, as text.
sub value {
    my ($url, $sql) = @_;
    return NchatTest::Cluster::psql($url, $sql);
}

sub uuid {
    my @x = map { int rand 65536 } 1 .. 8;
    return sprintf '%04x%04x-%04x-4%03x-8%03x-%04x%04x%04x', @x[0 .. 2],
        $x[3] & 4095, $x[4] & 4095, @x[5 .. 7];
}

# What psql says to a statement that must fail.
sub refusal {
    my ($url, $sql) = @_;

    my $file = File::Temp->new;
    print $file $sql;
    $file->flush;

    my $output = `psql -X -q -v ON_ERROR_STOP=1 -f $file '$url' 2>&1`;
    return $? ? $output : '';
}

# at_once(URL, [function, arguments...], ...): calls in sessions of their own,
# let go all together; returns their rows, in order.
sub at_once {
    my ($url, @calls) = @_;

    open my $gate, '|-', 'psql', '-X', '-q', '-o', '/dev/null', $url
        or die "psql: $!\n";
    $gate->autoflush;
    print $gate "SELECT pg_advisory_lock(4711);\n";
    wait_until($url, 'AND granted', 1);

    my @pipes;

    for my $call (@calls) {
        my $file = File::Temp->new;
        print $file "SELECT pg_advisory_lock_shared(4711) \\g /dev/null\n",
            'SELECT row_to_json(r) FROM (', statement(@$call), ") r;\n";
        $file->flush;

        open my $pipe, '-|', 'psql', '-X', '-A', '-t', '-q', '-v',
            'ON_ERROR_STOP=1', '-f', $file->filename, $url
            or die "psql: $!\n";
        push @pipes, [$pipe, $file];
    }

    wait_until($url, 'AND NOT granted', scalar @calls);
    close $gate;

    return map {
        my $line = readline $_->[0];
        close $_->[0] or die "psql failed\n";
        decoded($line);
    } @pipes;
}

sub wait_until {
    my ($url, $condition, $count) = @_;

    for (1 .. 400) {
        return if value($url, 'SELECT count(*) FROM pg_locks l'
                . ' JOIN pg_database d ON d.oid = l.database'
                . ' WHERE d.datname = current_database()'
                . " AND l.locktype = 'advisory' AND objid = 4711"
                . " $condition") == $count;
        select undef, undef, undef, 0.05;
    }

    die "sessions are not there after 20 seconds\n";
}

1;
