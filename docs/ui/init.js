/*
 * Swagger UI on this server's own description. Nothing comes from elsewhere:
 * no fonts, no validator.
 */

'use strict';

(function () {

    /* A token that an answer of /api/auth/… brings is put into Authorize. */

    function takeToken(response) {
        if (!/\/api\/auth\//.test(response.url)) {
            return response;
        }

        try {
            const token = JSON.parse(response.text).accessToken;

            if (token) {
                ui.preauthorizeApiKey('bearerAuth', token);
            }

        } catch (error) {
            console.warn('no token in the answer of ' + response.url, error);
        }

        return response;
    }

    const ui = window.SwaggerUIBundle({
        url: '/openapi.json',
        dom_id: '#ui',
        deepLinking: true,
        docExpansion: 'list',
        defaultModelsExpandDepth: 0,
        displayRequestDuration: true,
        persistAuthorization: false,
        validatorUrl: null,
        syntaxHighlight: { activated: true },
        responseInterceptor: takeToken
    });

    window.ui = ui;
})();
