package NchatTest::Ops;

# For the tests of the commands themselves: runs make and bin/ with exactly the
# environment that is given.

use strict;
use warnings;

use Exporter 'import';
use File::Temp ();
use Time::HiRes ();

use NchatTest ();
use NchatTest::Cluster qw(slurp);

our @EXPORT = qw(run_command spawn_command read_env slurp fetch as_nobody);

# Neither the instances of the tests nor the make that runs them are meant.
my %base = map { $_ => $ENV{$_} }
           grep { !/^NCHAT_(?!NGINX|MODULE)|^MAKE|^MFLAGS/ } keys %ENV;

# The words before a command that make it run as an ordinary user, if we are
# root; that user has no home folder.
sub as_nobody { $> == 0 ? ('runuser', '-u', 'nobody', '--') : () }

# spawn_command(\%env, OUTPUT, COMMAND...): returns the process id; it leads a
# process group of its own, as a terminal's foreground job does.
sub spawn_command {
    my ($env, $output, @command) = @_;

    my $pid = fork // die "fork: $!\n";
    return $pid if $pid;

    %ENV = (%base, %$env);
    setpgrp 0, 0;
    $SIG{INT} = 'DEFAULT';
    chdir delete $ENV{IN} if $ENV{IN};
    open STDIN, '<', '/dev/null';
    open STDOUT, '>', $output or die "$output: $!\n";
    open STDERR, '>&', \*STDOUT;
    exec @command or print "$command[0]: $!\n";
    exit 127;
}

# run_command(\%env, COMMAND...): returns (exit code, output, seconds). `IN` in
# the environment is the folder to run in.
sub run_command {
    my ($env, @command) = @_;
    my $output  = File::Temp->new;
    my $started = Time::HiRes::time();

    waitpid spawn_command($env, $output->filename, @command), 0;
    my $status = $? >> 8;

    return ($status, slurp($output->filename), Time::HiRes::time() - $started);
}

# read_env(HOME): what make start left in its file env.
sub read_env {
    my $home = shift;
    return { map { /^(\w+)=(.*)$/ } split /\n/, slurp("$home/env") };
}

# fetch(METHOD, URL, CURL ARGUMENT...): a NchatTest::Response.
sub fetch {
    my ($method, $url, @arguments) = @_;

    my $output = NchatTest->curl('-i', '-X', $method, @arguments, $url);
    my $connection = bless { in => $output, closed => 1, heads => [$method] },
                           'NchatTest::Connection';
    return $connection->parse // NchatTest::Response->new(status => 0);
}

1;
