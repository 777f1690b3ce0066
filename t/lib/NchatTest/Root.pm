package NchatTest::Root;

# A clean root for the tests of the packages: a folder with copies of the files
# of Debian packages that are installed here, of these and of what they depend
# on and of no others, with a package database that says so. dpkg, run in it,
# is the real one: it holds dependencies against what is there, and runs the
# scripts. Root enters it by chroot, everybody else in a user namespace where
# the system has them.

use strict;
use warnings;

use File::Path qw(make_path);
use File::Temp ();

use NchatTest::Cluster qw(slurp spew);
use NchatTest::Ops;

my %left_out = map { $_ => 1 } qw(doc man locale info lintian bug);

# usable: whether such a root can be entered on this machine.
sub usable {
    return 1 if $> == 0;
    return system('unshare --map-root-user --mount true 2>/dev/null') == 0;
}

# new(PACKAGE...): dies, naming it, of a package that is not installed here.
sub new {
    my ($class, @packages) = @_;
    my $temp = File::Temp->newdir('nchat-root-XXXXXX', TMPDIR => 1);
    my $self = bless { temp => $temp, folder => "$temp/root" }, $class;

    chmod 0755, "$temp";
    $self->{packages} = [ closure(@packages) ];
    $self->_copy_files;
    $self->_make_files;
    $self->_make_database;

    return $self;
}

sub folder   { $_[0]{folder} }
sub packages { @{ $_[0]{packages} } }

# installed: { name => [its dependencies, each a list of alternatives] }, with
# what packages provide, and the names of the essential ones.
sub installed {
    my (%needs, @essential);
    my $format = join '\t', '${db:Status-Status}', '${Package}', '${Essential}',
                 '${Provides}', '${Pre-Depends}', '${Depends}\n';

    for my $line (split /\n/, qx(dpkg-query -W -f '$format')) {
        my ($status, $name, $essential, $provides, @depends)
            = split /\t/, $line;
        next if $status ne 'installed';

        push @essential, $name if $essential eq 'yes';
        $needs{$name} = [ map { alternatives($_) } @depends ];
        $needs{$_} //= [ [$name] ]
            for map { @$_ } alternatives($provides);
    }

    return (\%needs, @essential);
}

# alternatives("a (>= 1) | b:any, c"): ([a, b], [c])
sub alternatives {
    my $field = shift // '';
    return map { [ map { /([a-z0-9][a-z0-9+.-]+)/ } split /\|/ ] }
           grep { /\S/ } split /,/, $field;
}

# closure(PACKAGE...): those, the essential ones, and all that they need.
sub closure {
    my ($needs, @open) = installed();
    my %seen;

    push @open, @_;
    while (defined(my $name = shift @open)) {
        next if $seen{$name}++;
        my $depends = $needs->{$name}
            or die "the package $name is not installed here\n";

        for my $one (@$depends) {
            my ($there) = grep { $needs->{$_} } @$one;
            push @open, $there // $one->[0];
        }
    }

    return grep { info_name($_) } keys %seen;
}

# Files of packages that exist for several architectures carry that in the name.
sub info_name {
    my $package = shift;
    my ($list) = grep { -e } "/var/lib/dpkg/info/$package.list",
                 glob "/var/lib/dpkg/info/$package:*.list";
    return $list;
}

sub _copy_files {
    my $self   = shift;
    my $folder = $self->{folder};
    my $names  = File::Temp->new;
    my %wanted;

    # Debian 12 has these as links, and so paths below both names.
    make_path(map { "$folder/$_" } qw(usr/bin usr/sbin usr/lib usr/lib64));
    symlink "usr/$_", "$folder/$_" for qw(bin sbin lib lib64);

    for my $list (map { info_name($_) } $self->packages) {
        for my $path (split /\n/, slurp($list)) {
            next if $path =~ m{^/usr/share/(\w+)/.} && $left_out{$1};
            $wanted{$path}++ if $path ne '/.' && (-l $path || -e _);
        }
    }

    delete @wanted{qw(/bin /sbin /lib /lib64)};
    print $names map { ".$_\0" } sort keys %wanted;
    $names->flush;

    system("tar -C / --no-recursion --null -T $names -c --ignore-failed-read"
           . " 2>/dev/null | tar -C '$folder' -x --keep-directory-symlink") == 0
        or die "copying into $folder failed\n";
}

# What packages' scripts, or the installer, make.
sub _make_files {
    my $self   = shift;
    my $folder = $self->{folder};

    make_path(map { "$folder/$_" } qw(dev proc run tmp etc/ssl/certs
                                      var/log/nginx var/lib/dpkg/info
                                      var/lib/dpkg/updates
                                      var/lib/dpkg/triggers));
    chmod 01777, "$folder/tmp";

    spew("$folder/etc/$_", slurp("/usr/share/base-passwd/$_.master"))
        for qw(passwd group);
    system 'ldconfig', '-X', '-r', $folder;

    if (grep { $_ eq 'ca-certificates' } $self->packages) {
        my $all = '/etc/ssl/certs/ca-certificates.crt';
        spew("$folder$all", slurp($all));
    }

    for my $device ([ null => 1, 3 ], [ urandom => 1, 9 ]) {
        my ($name, $major, $minor) = @$device;
        my $file = "$folder/dev/$name";

        if ($> == 0 && system("mknod -m 666 $file c $major $minor") == 0) {
            next;
        }
        spew($file, '');
        push @{ $self->{devices} }, $name;
    }
}

sub _make_database {
    my $self = shift;
    my $db   = "$self->{folder}/var/lib/dpkg";
    my %ours = map { $_ => 1 } $self->packages;

    spew("$db/status", join '', map { "$_\n\n" }
         grep { /^Package: (\S+)$/m && $ours{$1} }
         split /\n{2,}/, slurp('/var/lib/dpkg/status'));

    for my $list ('/var/lib/dpkg/info/format',
                  map { info_name($_) } $self->packages)
    {
        my ($name) = $list =~ m{([^/]+)$};
        spew("$db/info/$name", slurp($list));
    }

    spew("$db/$_", '') for qw(available triggers/File triggers/Unincorp);
}

# command(COMMAND...): the words that run it in there.
sub command {
    my ($self, @command) = @_;
    my $folder = $self->{folder};
    my @env    = ('env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
                  'DEBIAN_FRONTEND=noninteractive', 'LC_ALL=C.UTF-8');

    return ('chroot', $folder, @env, @command)
        if $> == 0 && !$self->{devices};

    my $mounts = join '; ', map { "mount --bind /dev/$_ '$folder/dev/$_'" }
                 @{ $self->{devices} // [] };
    my @unshare = ('unshare', $> ? '--map-root-user' : (), '--mount');

    return (@unshare, 'sh', '-c', "$mounts; exec chroot \"\$@\"", 'sh',
            $folder, @env, @command);
}

# run(COMMAND...): (exit status, output)
sub run {
    my ($self, @command) = @_;
    return run_command({}, $self->command(@command));
}

sub read  { slurp("$_[0]{folder}$_[1]") }

sub write {
    my ($self, $path, $text, $mode) = @_;
    my ($folder) = "$self->{folder}$path" =~ m{^(.*)/};

    make_path($folder);
    spew("$self->{folder}$path", $text);
    chmod $mode // 0644, "$self->{folder}$path";
}

1;
