# The upload sample of the API's document, word for word (t/samples/upload.ts),
# in Node and in a page of the same origin. Only the type annotations are taken
# out, as a TypeScript compiler does.

use strict;
use warnings;
use lib 't/lib';

use Test::More;
use NchatTest;

my $sample = NchatTest::Cluster::slurp('t/samples/upload.ts');
(my $script = $sample) =~ s/(file|token): (?:File|string)/$1/g;

my $n = NchatTest->new(
    server => 'location /sample/ { alias sample/; }'
);
my $user = $n->owner;

mkdir $n->home . '/sample';
chmod 0755, $n->home, $n->home . '/sample';

sub is_uploaded {
    my ($id, $type, $content, $where) = @_;

    like($id, qr/^[0-9a-f-]{36}$/, "$where: the sample returns an id");
    my $r = $n->post('/api/upload/complete', { fileId => $id },
                     token => $user->{token});
    is_ok($r, "$where: which can be completed");

    my $attachment = $r->json->{attachment};
    is($attachment->{mimeType}, $type, "$where: of its type");
    my $path = ($attachment->{url} // '') =~ s{^http://[^/]+}{}r;
    is($n->get($path)->body, $content, "$where: with its content");
}


# Node. A page's fetch knows its origin, Node's has to be told.

my $url  = $n->url;
my $file = File::Temp->new(SUFFIX => '.js');
print $file <<"END";
const plain = globalThis.fetch
globalThis.fetch = (url, options) => plain(new URL(url, '$url'), options)
$script
uploadFile(new File(['hello from Node'], 'h\\u00e9llo.txt',
           { type: 'text/plain' }), '$user->{token}')
    .then(id => console.log(id), error => console.log(String(error)))
END
$file->flush;

my $id = qx{node $file 2>&1};
chomp $id;
is_uploaded($id, 'text/plain', 'hello from Node', 'Node');


# A browser.

my $chromium = '/usr/bin/chromium';
system('bin/nchat-deps browser >/dev/null 2>&1') if !-x $chromium;

SKIP: {
    if (!-x $chromium) {
        diag('THE SAMPLE IS NOT TESTED IN A BROWSER: no Chromium');
        skip('needs Debian\'s package chromium', 4);
    }

    NchatTest::spew($n->home . '/sample/page.html', <<"END");
<!doctype html>
<title>upload</title>
<p id="result">nothing</p>
<script>
$script
const show = text => document.getElementById('result').textContent = text
uploadFile(new File(['hello from a page'], 'page.md',
           { type: 'text/markdown' }), '$user->{token}')
    .then(show, error => show(String(error)))
</script>
END

    # the same host in the page's address and in the upload's URL
    my $page    = 'http://localhost:' . $n->port . '/sample/page.html';
    my $profile = File::Temp->newdir('nchat-chromium-XXXXXX', TMPDIR => 1);
    my @flags = qw(--headless --no-sandbox --disable-gpu --no-first-run
        --disable-dev-shm-usage --disable-background-networking
        --disable-component-update --disable-sync --no-proxy-server
        --virtual-time-budget=30000 --dump-dom);
    my $dom = qx{timeout 90 $chromium @flags --user-data-dir=$profile $page \
                 2>$profile/log};

    my ($found) = $dom =~ m{<p id="result">(.*?)</p>};
    is_uploaded($found // $dom, 'text/markdown', 'hello from a page',
                'a page');
}

finish();
