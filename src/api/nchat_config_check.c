#include "nchat_config_check.h"


static const char  *nchat_config_sections[] = {
    "setup", "owner", "branding", "landingTheme", "homepage", "authProviders",
    "authPermissions", "features", "integrations", "moderation", "encryption",
    "theme", "seo", "legal", "social", "enterprise", NULL
};

static const ngx_str_t  nchat_config_schemes[] = {
    ngx_string("light"), ngx_string("dark"), ngx_string("system"),
    ngx_null_string
};

static const ngx_str_t  nchat_config_modes[] = {
    ngx_string("allow-all"), ngx_string("verified-only"),
    ngx_string("idme-roles"), ngx_string("domain-restricted"),
    ngx_string("admin-only"), ngx_null_string
};

static const ngx_str_t  nchat_config_themes[] = {
    ngx_string("login-only"), ngx_string("simple-landing"),
    ngx_string("full-homepage"), ngx_string("corporate"),
    ngx_string("community"), ngx_null_string
};


#define section(name)  NCHAT_CHECK_OBJECT(name, NCHAT_CHECK_ONLY, 0)
#define color(name)    NCHAT_CHECK_COLOR("theme." name, NCHAT_CHECK_ONLY, 0)
#define one_of(name, values)                                                  \
    NCHAT_CHECK_ENUM(name, NCHAT_CHECK_ONLY, values, 0)


static const nchat_check_t  nchat_config_fields[] = {
    section("setup"),
    section("owner"),
    section("branding"),
    one_of("landingTheme", nchat_config_themes),
    section("homepage"),
    section("authProviders"),
    section("authPermissions"),
    section("features"),
    section("integrations"),
    section("moderation"),
    section("encryption"),
    section("theme"),
    section("seo"),
    section("legal"),
    section("social"),
    section("enterprise"),

    NCHAT_CHECK_INT("setup.currentStep", NCHAT_CHECK_ONLY, 0, 1000, 0),

    /* the owner's address may be unset, as it is by default */

    NCHAT_CHECK_EMAIL("owner.email", NCHAT_CHECK_ONLY, NCHAT_EMPTY),

    NCHAT_CHECK_STR("branding.appName", NCHAT_CHECK_ONLY, 1, 50, 0),
    NCHAT_CHECK_NUM("branding.logoScale", NCHAT_CHECK_ONLY, 0.5, 2.0, 0),

    one_of("authPermissions.mode", nchat_config_modes),
    NCHAT_CHECK_STRS("authPermissions.allowedDomains", NCHAT_CHECK_ONLY, 0, 0,
                     NCHAT_NULLABLE),

    color("primaryColor"),
    color("secondaryColor"),
    color("accentColor"),
    color("backgroundColor"),
    color("surfaceColor"),
    color("textColor"),
    color("mutedColor"),
    color("borderColor"),
    color("buttonPrimaryBg"),
    color("buttonPrimaryText"),
    color("buttonSecondaryBg"),
    color("buttonSecondaryText"),
    color("successColor"),
    color("warningColor"),
    color("errorColor"),
    color("infoColor"),
    one_of("theme.colorScheme", nchat_config_schemes),

    NCHAT_CHECK_END
};


ngx_int_t
nchat_config_check(ngx_pool_t *pool, json_t *patch,
    nchat_failures_t *failures)
{
    json_t      *value;
    ngx_int_t    rc;
    ngx_uint_t   i;
    const char  *name;

    rc = nchat_check(pool, nchat_config_fields, patch, NULL, failures);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    json_object_foreach(patch, name, value) {

        for (i = 0; nchat_config_sections[i]; i++) {
            if (ngx_strcmp(name, nchat_config_sections[i]) == 0) {
                break;
            }
        }

        if (nchat_config_sections[i] == NULL) {
            rc = NGX_DECLINED;

            if (nchat_failures_add(pool, failures, name, "enum",
                                   "there is no such section of the "
                                   "configuration")
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return rc;
}
