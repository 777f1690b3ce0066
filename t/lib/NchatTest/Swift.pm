package NchatTest::Swift;

# OpenStack Swift with its S3 API: a server that verifies AWS signatures, from
# Debian's packages. One of each of its servers, in a temporary folder.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha1_base64);
use File::Temp ();
use IO::Socket::INET;
use POSIX qw(strftime setlocale LC_TIME);
use Time::HiRes ();

use NchatTest ();

my @servers = qw(account container object);

# missing(): what is to be installed; nothing if all is there. Whoever has the
# rights gets it installed.
sub missing {
    my @programs = map { "swift-$_-server" } @servers, 'proxy';
    my $have     = sub {
        !grep { my $name = $_; !grep { -x "$_/$name" } split /:/, $ENV{PATH} }
             @programs, 'swift-ring-builder';
    };

    return if $have->();

    my $log = File::Temp->new;
    system("$NchatTest::root/bin/nchat-deps s3 >$log 2>&1");

    return $have->() ? undef
                     : 'Debian packages swift-proxy, swift-account, '
                       . 'swift-container and swift-object';
}

# new(): starts it; access_key, secret_key, url.
sub new {
    my $class = shift;

    my $self = bless {
        pid        => $$,
        access_key => 'test:tester',
        secret_key => 'a+secret/key=',
        temp       => File::Temp->newdir('nchat-swift-XXXXXX', TMPDIR => 1)
    }, $class;

    mkdir "$self->{temp}/$_" for qw(dev dev/sda lock);
    $self->{port}{$_} = NchatTest::free_port() for @servers, 'proxy';

    $self->_ring($_) for @servers;
    $self->_configure($_) for @servers, 'proxy';
    $self->_start($_) for @servers, 'proxy';

    $self->{url} = "http://127.0.0.1:$self->{port}{proxy}";
    $self->_wait;

    return $self;
}

sub url        { $_[0]{url} }
sub access_key { $_[0]{access_key} }
sub secret_key { $_[0]{secret_key} }

sub _ring {
    my ($self, $server) = @_;
    my $builder = "$self->{temp}/$server.builder";

    for my $arguments ('create 6 1 1',
        "add r1z1-127.0.0.1:$self->{port}{$server}/sda 1", 'rebalance')
    {
        my ($command, @rest) = split ' ', $arguments;
        my $output = qx{swift-ring-builder $builder $command @rest 2>&1};
        die "swift-ring-builder: $output" if $? >> 8 > 1;
    }
}

sub _configure {
    my ($self, $server) = @_;
    my $user = getpwuid $>;

    my $text = <<"END";
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $self->{port}{$server}
user = $user
workers = 0
swift_dir = $self->{temp}
devices = $self->{temp}/dev
mount_check = false
disable_fallocate = true
END

    if ($server eq 'proxy') {
        $text .= <<"END";
[pipeline:main]
pipeline = catch_errors gatekeeper cache listing_formats s3api tempauth copy slo dlo versioned_writes proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:versioned_writes]
use = egg:swift#versioned_writes
# tempauth asks for a cache that S3's requests never use
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
auth_pipeline_check = false
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = $self->{secret_key} .admin
END
    } else {
        $text .= <<"END";
[pipeline:main]
pipeline = $server-server
[app:$server-server]
use = egg:swift#$server
END
    }

    NchatTest::spew("$self->{temp}/$server.conf", $text);
}

sub _start {
    my ($self, $server) = @_;
    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        open STDIN,  '<',  '/dev/null';
        open STDOUT, '>',  "$self->{temp}/$server.log";
        open STDERR, '>&', \*STDOUT;
        exec "swift-$server-server", "$self->{temp}/$server.conf", 'verbose';
        exit 127;
    }

    push @{ $self->{pids} }, $pid;
}

sub _wait {
    my $self = shift;

    for my $server (@servers, 'proxy') {
        NchatTest::wait_for(sub {
            IO::Socket::INET->new(PeerHost => '127.0.0.1',
                                  PeerPort => $self->{port}{$server})
        }, 30) or die "swift-$server-server does not start: "
                      . $self->log($server);
    }
}

sub log {
    my ($self, $server) = @_;
    return NchatTest::Cluster::slurp("$self->{temp}/$server.log");
}

# request(METHOD, PATH): signed with version 2 in a header; returns the status
# and the body.
sub request {
    my ($self, $method, $path) = @_;

    setlocale(LC_TIME, 'C');
    my $date = strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime);
    my $sign = hmac_sha1_base64("$method\n\n\n$date\n$path",
                                $self->{secret_key});
    $sign .= '=' while length($sign) % 4;

    open my $pipe, '-|', 'curl', '-s', '--noproxy', '*', '-m', 30, '-w',
        '\n%{http_code}', '-X', $method, '-H', "Date: $date", '-H',
        "Authorization: AWS $self->{access_key}:$sign", $self->{url} . $path
        or die "curl: $!\n";
    my $output = do { local $/; <$pipe> };
    my ($body, $status) = $output =~ /^(.*)\n(\d+)$/s;

    return ($status, $body);
}

# stop(), start(): the proxy alone, as if the service were away.
sub stop {
    my $self = shift;
    my $pid  = pop @{ $self->{pids} };

    kill TERM => $pid;
    waitpid $pid, 0;
}

sub DESTROY {
    my $self = shift;
    local ($?, $@);

    return if $self->{pid} != $$;
    kill TERM => @{ $self->{pids} };
    waitpid $_, 0 for @{ $self->{pids} };
}

1;
