// Drives /api-docs in headless Chromium as a person would: authorize, call,
// look. Prints what it saw as JSON; t/71_api_docs.t judges it.
//
//   node api-docs.js URL EMAIL PASSWORD TOKEN FOLDER

'use strict';

const path = require('path');

const tools = path.join(__dirname, '../../build/ui/tools/node_modules');
const { chromium } = require(path.join(tools, 'playwright-core'));

const [url, email, password, token, folder] = process.argv.slice(2);

const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic',
    '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'];

async function authorize(page, value) {
    await page.click('.auth-wrapper .btn.authorize');
    const form = page.locator('.auth-container', { hasText: 'bearerAuth' });
    await form.locator('input').first().fill(value);
    await form.locator('button.authorize').click();
    const answer = await form.textContent();
    await page.click('.btn-done');
    return answer;
}

async function call(page, tag, operation, prepare) {
    const block = page.locator(`#operations-${tag}-${operation}`);

    await block.locator('.opblock-summary-control').click();
    await block.locator('.try-out__btn').click();
    await prepare(block);
    await block.locator('.btn.execute').click();

    const live = block.locator('.live-responses-table');
    await live.waitFor();

    return {
        status: (await live.locator('.response-col_status').last().innerText()).trim(),
        body: await live.locator('.response-col_description .highlight-code')
            .first().innerText(),
        curl: await block.locator('.curl-command .curl').innerText()
    };
}

async function visit(page, seen) {
    await page.goto(url + '/api-docs');
    await page.waitForSelector('.opblock');

    seen.title = (await page.locator('.info .title').innerText()).trim();
    seen.operations = await page.locator('.opblock').count();
    await page.screenshot({ path: path.join(folder, 'page.png') });

    seen.authorized = await authorize(page, token);

    seen.config = await call(page, 'Configuration', 'getConfig', async block =>
        block.locator('tr[data-param-name="history"] select').selectOption('true'));
    await page.locator('#operations-Configuration-getConfig .live-responses-table')
        .scrollIntoViewIfNeeded();
    await page.screenshot({ path: path.join(folder, 'config.png') });

    seen.signin = await call(page, 'Accounts', 'signIn', async block =>
        block.locator('textarea.body-param__text').fill(JSON.stringify({ email, password })));
    await page.locator('#operations-Accounts-signIn .live-responses-table')
        .scrollIntoViewIfNeeded();
    await page.screenshot({ path: path.join(folder, 'signin.png') });

    seen.me = await call(page, 'Accounts', 'getMe', async () => {});
}

async function main() {
    const seen = { problems: [], requests: [] };
    const context = await chromium.launchPersistentContext(
        path.join(folder, 'profile'),
        { executablePath: '/usr/bin/chromium', headless: true, args: flags,
          viewport: { width: 1280, height: 1000 } });
    const page = context.pages()[0];

    page.setDefaultTimeout(30000);
    page.on('console', message => {
        if (['error', 'warning'].includes(message.type())) {
            seen.problems.push(message.text());
        }
    });
    page.on('pageerror', error => seen.problems.push(String(error)));
    page.on('request', request => seen.requests.push(request.url()));

    try {
        await visit(page, seen);
    } catch (error) {
        seen.failed = String(error);
        await page.screenshot({ path: path.join(folder, 'failed.png') });
    }

    await context.close();
    console.log(JSON.stringify(seen));
}

main();
