package NchatTest::Cluster;

# Postgres for the tests. One cluster serves a whole run (NCHAT_TEST_CLUSTER,
# set by bin/nchat-test); a test that is run by itself starts its own. Each
# instance gets a database of its own, copied from a migrated template.

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter 'import';
use File::Basename qw(dirname);
use File::Temp ();

our @EXPORT_OK = qw(slurp spew);
use Scalar::Util qw(weaken);

our $root = abs_path(dirname(__FILE__) . '/../../..');

my ($shared, $count, @own);

# As fast as a database may be whose machine never loses power.
my $settings = <<'END';
fsync = off
full_page_writes = off
synchronous_commit = off
max_connections = 400
END

# The cluster that all tests of this run share.
sub shared {
    my $class = shift;

    if ($ENV{NCHAT_TEST_CLUSTER}) {
        $shared //= bless { folder => $ENV{NCHAT_TEST_CLUSTER} }, $class;
    }

    return $shared //= $class->new;
}

# A cluster of one's own, to be stopped and started at will; gone with the
# object. `settings`: further lines for postgresql.conf.
sub new {
    my ($class, %options) = @_;

    my $temp = File::Temp->newdir('nchat-pg-XXXXXX', TMPDIR => 1);
    chmod 0755, "$temp";

    return $class->prepare("$temp", %options, temp => $temp, own => $$);
}

# A cluster in that folder, with the template; left running.
sub prepare {
    my ($class, $folder, %options) = @_;

    my $self = bless {
        %options,
        folder   => $folder,
        settings => $settings . ($options{settings} // '')
    }, $class;

    push @own, $self;
    weaken($own[-1]);

    $self->_command('create', 'CREATEROLE', 'CREATEDB');
    $self->start;
    $self->make_template;

    return $self;
}

sub _command {
    my ($self, $command, @arguments) = @_;

    local $ENV{NCHAT_POSTGRES_SETTINGS} = $self->{settings} // $settings;
    system("$root/bin/nchat-postgres", $command, $self->{folder}, @arguments)
        == 0 or die "nchat-postgres $command failed\n";
}

sub start { $_[0]->_command('start') }
sub stop  { $_[0]->_command('stop') }

# The postmaster's process id.
sub pid {
    my $self = shift;
    return slurp("$self->{folder}/data/postmaster.pid") =~ /^(\d+)/ ? $1 : undef;
}

# kill: ends the server at once, as a crash would (Postgres' immediate mode).
sub kill {
    my $self = shift;
    my $pid  = $self->pid // return;

    CORE::kill QUIT => $pid;
    select undef, undef, undef, 0.02 while CORE::kill 0 => $pid;
}

# pause, resume: all processes of the server stand still meanwhile.
sub pause  { $_[0]->_signal_all('STOP') }
sub resume { $_[0]->_signal_all('CONT') }

sub _signal_all {
    my ($self, $signal) = @_;
    my $pid      = $self->pid // die "Postgres is not running\n";
    my $children = slurp("/proc/$pid/task/$pid/children");

    # First the postmaster, so that it makes no new ones meanwhile.
    CORE::kill $signal => $pid, split ' ', $children;
}

# The owner's URL of a database.
sub url {
    my ($self, $database) = @_;

    open my $pipe, '-|', "$root/bin/nchat-postgres", 'url', $self->{folder},
        $database // 'nchat' or die "nchat-postgres: $!\n";
    chomp(my $url = <$pipe>);

    return $url;
}

sub make_template {
    my $self = shift;

    $self->sql('CREATE DATABASE nchat_template');
    system("$root/bin/nchat-migrate " . quotemeta($self->url('nchat_template'))
           . " >$self->{folder}/migrate.log 2>&1") == 0
        or die "nchat-migrate failed: " . slurp("$self->{folder}/migrate.log");
}

# A new database; returns its owner's URL.
sub database {
    my $self = shift;
    my $name = sprintf 't_%d_%d', $$, ++$count;

    $self->sql("CREATE DATABASE $name TEMPLATE nchat_template");
    return $self->url($name);
}

sub sql {
    my ($self, $sql) = @_;
    return psql($self->url('nchat'), $sql);
}

# psql(URL, SQL): what psql prints, rows as lines and columns between tabs.
sub psql {
    my ($url, $sql) = @_;

    my $file = File::Temp->new;
    print $file $sql;
    $file->flush;

    open my $pipe, '-|', 'psql', '-X', '-A', '-t', '-q', '-F', "\t", '-v',
        'ON_ERROR_STOP=1', '-f', $file->filename, $url
        or die "psql: $!\n";
    my $output = do { local $/; <$pipe> } // '';
    close $pipe or die "psql failed on: $sql\n";

    chomp $output;
    utf8::decode($output);
    return $output;
}

sub slurp {
    my $file = shift;

    open my $in, '<:raw', $file or return '';
    local $/;
    return <$in> // '';
}

sub spew {
    my ($file, $text) = @_;

    open my $out, '>:raw', $file or die "$file: $!\n";
    print $out $text;
    close $out or die "$file: $!\n";
}

sub DESTROY {
    my $self = shift;
    local ($?, $@);

    return if ($self->{own} // 0) != $$;

    $self->{own} = 0;
    eval { $self->stop };
}

# At the very end Perl destroys in any order: the folder maybe first.
END { $_->DESTROY for grep { defined } @own }

1;
