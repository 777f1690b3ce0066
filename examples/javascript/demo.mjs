// node demo.mjs EMAIL PASSWORD: signs in, or up; as an admin names the
// application; sends a file and finds it again.

import { Nchat, NchatError } from './nchat.mjs';

const [email, password] = process.argv.slice(2);

if (!password) {
    console.error('usage: node demo.mjs EMAIL PASSWORD');
    process.exit(2);
}

const nchat = new Nchat(process.env.NCHAT_URL ?? 'http://localhost:3000');

async function signInOrUp() {
    try {
        return await nchat.signIn(email, password);
    } catch (error) {
        if (!(error instanceof NchatError) || error.code !== 'UNAUTHORIZED') {
            throw error;
        }
        return nchat.signUp({ email, password, username: email.split('@')[0] });
    }
}

const user = await signInOrUp();
console.log(`signed in as ${user.displayName}, ${user.role}`);

if (['owner', 'admin'].includes(user.role)) {
    const config = await nchat.updateConfig({ branding: { appName: 'My Team Chat' } });
    console.log(`the application is called ${config.branding.appName}`);
}

const file = new Blob(['Deployment checklist\n'], { type: 'text/plain' });
const attachment = await nchat.uploadFile(file, 'checklist.txt');
console.log(`uploaded ${attachment.originalFilename}: ${attachment.url}`);

const found = await nchat.search('checklist', { types: ['files'], limit: 5 });
console.log(`found: ${found.map(item => item.title).join(', ')}`);

await nchat.refresh();
console.log('the session goes on with a new token');
