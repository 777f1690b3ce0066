-- 0003 configuration: one document, its updates and their history.


-- What a fresh install answers with.  A member that has a default keeps its
-- JSON type: nchat_config_update() refuses what would break that.

CREATE FUNCTION nchat_config_defaults() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT $json$
{
  "setup": {
    "isCompleted": false,
    "currentStep": 0,
    "visitedSteps": [
      0
    ]
  },
  "owner": {
    "name": "",
    "email": ""
  },
  "branding": {
    "appName": "nChat",
    "tagline": "Team Communication Platform",
    "logoScale": 1
  },
  "landingTheme": "simple-landing",
  "homepage": {
    "mode": "landing",
    "landingPages": {
      "hero": true,
      "features": true,
      "pricing": false,
      "about": false,
      "contact": false,
      "blog": false,
      "docs": false
    }
  },
  "authProviders": {
    "emailPassword": true,
    "magicLinks": false,
    "google": false,
    "facebook": false,
    "twitter": false,
    "github": false,
    "discord": false,
    "slack": false,
    "idme": {
      "enabled": false,
      "allowMilitary": true,
      "allowPolice": true,
      "allowFirstResponders": true,
      "allowGovernment": false,
      "requireVerification": true
    }
  },
  "authPermissions": {
    "mode": "allow-all",
    "requireEmailVerification": false,
    "requireApproval": false,
    "autoApprove": true,
    "welcomeNewMembers": true,
    "newMemberChannel": "general"
  },
  "features": {
    "publicChannels": true,
    "privateChannels": true,
    "directMessages": true,
    "fileUploads": true,
    "voiceMessages": false,
    "threads": true,
    "reactions": true,
    "search": true,
    "guestAccess": false,
    "inviteLinks": true,
    "channelCategories": false,
    "customEmojis": false,
    "gifs": true,
    "stickers": true,
    "messageScheduling": false,
    "videoConferencing": false,
    "endToEndEncryption": false,
    "voiceCalls": true,
    "videoCalls": true,
    "groupCalls": true,
    "screenSharing": true,
    "callRecording": false,
    "maxCallParticipants": 50,
    "liveStreaming": true,
    "streamRecording": true,
    "streamChat": true,
    "streamReactions": true,
    "streamScheduling": true,
    "maxStreamDuration": 0
  },
  "integrations": {
    "slack": {
      "enabled": false,
      "importChannels": false,
      "syncMessages": false
    },
    "github": {
      "enabled": false,
      "notifications": false,
      "linkPullRequests": false
    },
    "jira": {
      "enabled": false,
      "ticketNotifications": false
    },
    "googleDrive": {
      "enabled": false,
      "fileSharing": false
    },
    "webhooks": {
      "enabled": false,
      "customEndpoints": []
    }
  },
  "moderation": {
    "autoModeration": false,
    "profanityFilter": false,
    "spamDetection": true,
    "requireMessageApproval": false,
    "moderatorRoles": [
      "admin",
      "moderator"
    ],
    "reportingSystem": true,
    "aiModeration": {
      "enabled": true,
      "toxicityDetection": true,
      "nsfwDetection": true,
      "spamDetection": true,
      "profanityFilter": true
    },
    "thresholds": {
      "toxic": 0.7,
      "nsfw": 0.7,
      "spam": 0.6,
      "profanity": 0.5
    },
    "autoActions": {
      "autoFlag": true,
      "autoHide": false,
      "autoWarn": false,
      "autoMute": false
    },
    "customWords": {
      "blocked": [],
      "allowed": []
    }
  },
  "encryption": {
    "enabled": false,
    "enforceForPrivateChannels": false,
    "enforceForDirectMessages": true,
    "allowUnencryptedPublicChannels": true,
    "enableSafetyNumbers": true,
    "requireDeviceVerification": false,
    "automaticKeyRotation": true,
    "keyRotationDays": 7
  },
  "theme": {
    "preset": "nself",
    "primaryColor": "#38BDF8",
    "secondaryColor": "#0EA5E9",
    "accentColor": "#0284C7",
    "backgroundColor": "#0F0F1A",
    "surfaceColor": "#1E293B",
    "textColor": "#F8FAFC",
    "mutedColor": "#94A3B8",
    "borderColor": "#334155",
    "buttonPrimaryBg": "#38BDF8",
    "buttonPrimaryText": "#0F0F1A",
    "buttonSecondaryBg": "#334155",
    "buttonSecondaryText": "#F8FAFC",
    "successColor": "#10B981",
    "warningColor": "#F59E0B",
    "errorColor": "#EF4444",
    "infoColor": "#3B82F6",
    "borderRadius": "12px",
    "fontFamily": "Inter, system-ui, sans-serif",
    "colorScheme": "dark"
  },
  "seo": {
    "title": "nChat - Team Communication Platform",
    "description": "Modern team communication and collaboration platform",
    "keywords": [
      "chat",
      "team",
      "communication",
      "collaboration",
      "messaging"
    ]
  },
  "legal": {
    "supportEmail": "support@example.com"
  },
  "social": {},
  "enterprise": {
    "sso": {
      "enabled": false,
      "allowedProviders": [],
      "enforceSSO": false,
      "jitProvisioning": true,
      "defaultRole": "member"
    },
    "rbac": {
      "customRolesEnabled": true,
      "maxCustomRoles": 50,
      "roleInheritance": true,
      "timeLimitedRoles": true,
      "roleTemplatesEnabled": true
    },
    "audit": {
      "enabled": true,
      "tamperProof": true,
      "retentionDays": 365,
      "exportFormats": [
        "json",
        "csv",
        "syslog",
        "cef"
      ],
      "autoVerifyIntegrity": true,
      "verificationSchedule": "daily"
    },
    "compliance": {
      "mode": "none",
      "requireMFA": false,
      "sessionTimeout": 480,
      "passwordPolicy": {
        "minLength": 8,
        "requireUppercase": true,
        "requireLowercase": true,
        "requireNumbers": true,
        "requireSymbols": false,
        "expiryDays": 0
      }
    },
    "security": {
      "ipWhitelisting": false,
      "geoBlocking": false,
      "rateLimiting": true,
      "maxRequestsPerMinute": 60,
      "suspiciousActivityDetection": true
    }
  }
}
$json$::jsonb $$;

CREATE TABLE config (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    version     bigint NOT NULL,
    doc         jsonb NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now()
);

INSERT INTO config (version, doc) VALUES (1, nchat_config_defaults());

-- changes is what the update asked for, as it came.

CREATE TABLE config_history (
    version     bigint PRIMARY KEY,
    updated_at  timestamptz NOT NULL,
    updated_by  text NOT NULL,
    changes     jsonb NOT NULL
);


-- Whether a member of this name is a secret when it is a string.

CREATE FUNCTION nchat_config_secret(name text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT $1 ~* 'secret|token|password|apikey|privatekey' $$;

-- The document without its secrets: left out, or, where `mask` is given,
-- replaced by it.

CREATE FUNCTION nchat_config_open(doc jsonb, mask text DEFAULT NULL)
    RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
#variable_conflict use_variable
DECLARE
    v_open  jsonb;
BEGIN
    IF jsonb_typeof(doc) = 'array' THEN
        SELECT coalesce(jsonb_agg(nchat_config_open(e, mask) ORDER BY i), '[]')
          INTO v_open
          FROM jsonb_array_elements(doc) WITH ORDINALITY x (e, i);
    ELSIF jsonb_typeof(doc) = 'object' THEN
        SELECT coalesce(jsonb_object_agg(
                   key, CASE WHEN jsonb_typeof(value) = 'string'
                                  AND nchat_config_secret(key)
                        THEN to_jsonb(mask)
                        ELSE nchat_config_open(value, mask) END), '{}')
          INTO v_open
          FROM jsonb_each(doc)
         WHERE mask IS NOT NULL OR jsonb_typeof(value) <> 'string'
               OR NOT nchat_config_secret(key);
    ELSE
        v_open := doc;
    END IF;

    RETURN v_open;
END
$$;

-- Objects merge, anything else replaces, null removes.

CREATE FUNCTION nchat_config_merge(base jsonb, patch jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    v_key    text;
    v_value  jsonb;
BEGIN
    IF jsonb_typeof(patch) <> 'object' THEN
        RETURN patch;
    END IF;

    IF jsonb_typeof(base) IS DISTINCT FROM 'object' THEN
        base := '{}';
    END IF;

    FOR v_key, v_value IN SELECT * FROM jsonb_each(patch) LOOP
        IF v_value = 'null' THEN
            base := base - v_key;
        ELSE
            base := base || jsonb_build_object(
                        v_key, nchat_config_merge(base -> v_key, v_value));
        END IF;
    END LOOP;

    RETURN base;
END
$$;

-- What of `doc` is not the same in `other`, as an object of the same nesting.

CREATE FUNCTION nchat_config_changed(doc jsonb, other jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT coalesce(jsonb_object_agg(
               key, CASE WHEN jsonb_typeof(value) = 'object'
                              AND jsonb_typeof($2 -> key) = 'object'
                    THEN nchat_config_changed(value, $2 -> key)
                    ELSE value END), '{}')
      FROM jsonb_each($1) WHERE value IS DISTINCT FROM $2 -> key
$$;


-- nchat_config_get(): the configuration that applies.
--
-- Returns version, grows with each change; doc, the whole document; and
-- open_doc, what everybody may see of it: without owner.email and without string
-- members whose name says that they are secret.

CREATE FUNCTION nchat_config_get(OUT version text, OUT doc text,
                                 OUT open_doc text)
LANGUAGE sql STABLE
AS $$
    SELECT c.version::text, c.doc::text,
           (nchat_config_open(c.doc) #- '{owner,email}')::text
      FROM config c
$$;

-- nchat_config_history(): the answer to an admin who asks for history.
--
-- Returns status 200 and {config, version, history: [{timestamp, updatedBy,
-- changes}]}, the last ten updates, newest first, config the whole document.

CREATE FUNCTION nchat_config_history(OUT status integer, OUT body text)
LANGUAGE sql STABLE
AS $$
    SELECT 200, json_build_object(
        'config', c.doc, 'version', c.version::text,
        'history', (
            SELECT coalesce(json_agg(json_build_object(
                       'timestamp', nchat_time(h.updated_at),
                       'updatedBy', h.updated_by,
                       'changes', h.changes) ORDER BY h.version DESC), '[]')
              FROM (SELECT * FROM config_history
                     ORDER BY version DESC LIMIT 10) h))::text
      FROM config c
$$;

-- nchat_config_update(): merges a patch into the configuration.
--
--   patch        the request's body, an object, its members validated
--   actor_id, actor_email, actor_username   the admin who updates
--   ip, request_id
--
-- Concurrent updates queue on the row, so each merges into what the other left.
-- setup.currentStep, where given, joins setup.visitedSteps.  The audit entry
-- has the values before and after of what changed, without secrets.
-- Notifies: "config <version>".
--
-- Returns status 200 and {config, message}, config the whole document; also
-- version, doc and open_doc as nchat_config_get() does.  400 VALIDATION_ERROR
-- when a member is of another type than its default, or null where there is one
-- (constraint type; 0013 has the rule, and with several details.errors lists
-- all), or when the document would be over 256 KiB (constraint length) or deeper
-- than 32 (constraint range); version, doc and open_doc are null then.

CREATE FUNCTION nchat_config_update(
    patch jsonb, actor_id uuid, actor_email text, actor_username text, ip text,
    request_id text,
    OUT status integer, OUT body text, OUT version text, OUT doc text,
    OUT open_doc text)
LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
    c_mask     CONSTANT text := '[hidden]';
    v_before   jsonb;
    v_after    jsonb;
    v_step     jsonb := patch #> '{setup,currentStep}';
    v_version  bigint;
BEGIN
    SELECT r.status, r.body INTO status, body
      FROM nchat_config_refusal(patch) r;

    IF status IS NOT NULL THEN
        RETURN;
    END IF;

    SELECT c.doc INTO v_before FROM config c FOR UPDATE;

    v_after := nchat_config_merge(v_before, patch);

    IF jsonb_typeof(v_step) = 'number'
       AND NOT coalesce(v_after #> '{setup,visitedSteps}' @> v_step, false)
    THEN
        v_after := jsonb_set(v_after, '{setup,visitedSteps}',
                             coalesce(v_after #> '{setup,visitedSteps}', '[]')
                             || v_step);
    END IF;

    IF octet_length(v_after::text) > 262144 THEN
        SELECT e.status, e.body INTO status, body
          FROM nchat_error(400, 'VALIDATION_ERROR', 'Validation failed: the '
                           'configuration may have at most 256 KiB',
                           '{"field": "", "constraint": "length"}') e;
        RETURN;
    END IF;

    IF jsonb_path_exists(v_after, 'strict $.**{32 to last} ? '
                         '(@.type() == "object" || @.type() == "array")')
    THEN
        SELECT e.status, e.body INTO status, body
          FROM nchat_error(400, 'VALIDATION_ERROR', 'Validation failed: the '
                           'configuration may be at most 32 levels deep',
                           '{"field": "", "constraint": "range"}') e;
        RETURN;
    END IF;

    UPDATE config c SET version = c.version + 1, doc = v_after,
                        updated_at = clock_timestamp()
    RETURNING c.version INTO v_version;

    INSERT INTO config_history
    VALUES (v_version, clock_timestamp(), actor_email, patch);

    PERFORM nchat_audit_record(
        'config', 'config_update', 'info', actor_id, 'user', actor_email,
        actor_username, jsonb_build_object(
            'type', 'config', 'id', 'config', 'name', 'version ' || v_version,
            'previousValue', nchat_config_open(
                nchat_config_changed(v_before, v_after), c_mask),
            'newValue', nchat_config_open(
                nchat_config_changed(v_after, v_before), c_mask)),
        NULL, 'Configuration updated', true, NULL, NULL, ip, request_id);

    PERFORM pg_notify('nchat', 'config ' || v_version);

    status := 200;
    version := v_version;
    doc := v_after;
    open_doc := nchat_config_open(v_after) #- '{owner,email}';
    body := '{"config":' || doc
            || ',"message":"Configuration updated successfully"}';
END
$$;


SELECT nchat_module_allow('nchat_config_defaults', 'nchat_config_secret',
                          'nchat_config_open', 'nchat_config_merge',
                          'nchat_config_changed', 'nchat_config_get',
                          'nchat_config_history', 'nchat_config_update');

SELECT nchat_module_grant('SELECT, UPDATE ON config',
                          'SELECT, INSERT ON config_history');
