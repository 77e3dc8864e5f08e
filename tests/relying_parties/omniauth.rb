# A relying party as GitLab is one: OmniAuth with its strategy for OpenID Connect. The secret goes by HTTP Basic, the scope
# goes to the token endpoint, too, and it steps up by `claims`, as GitLab's documentation says.
require "json"
require "omniauth_openid_connect"
require "rack"
require "rack/handler/webrick"
require "rack/protection"
require "webrick/https"

BASE = ENV.fetch("BASE")
ISSUER = ENV.fetch("ISSUER")
CLIENT = { identifier: ENV.fetch("CLIENT_ID"), secret: ENV.fetch("CLIENT_SECRET") }.freeze

# The authority of the tests, for every connection of these gems.
OpenIDConnect.http_config { |http| http.ssl_config.add_trust_ca(ENV.fetch("SSL_CERT_FILE")) }

# Debian's version of the strategy is older than `pkce: true`; this does what that does.
class WithPkce < OmniAuth::Strategies::OpenIDConnect
  # Sends the verifier along with the code.
  module Verifying
    attr_accessor :verifier

    def access_token!(options)
      super(options.merge(code_verifier: verifier))
    end
  end

  def authorize_uri
    verifier = session["omniauth.pkce.verifier"] = SecureRandom.hex(64)
    challenge = Base64.urlsafe_encode64(Digest::SHA256.digest(verifier), padding: false)
    more = { code_challenge: challenge, code_challenge_method: "S256" }
    options.extra_authorize_params = options.extra_authorize_params.merge(more)
    super
  end

  def client
    verifier = on_callback_path? && session.delete("omniauth.pkce.verifier")
    super.tap { |client| client.extend(Verifying).verifier = verifier if verifier }
  end
end

# The application behind the strategy.
class Party
  def initialize
    # Tokens do not fit into a cookie: by session.
    @tokens = {}
  end

  def call(env)
    request = Rack::Request.new(env)
    session = request.session
    case request.path_info
    when "/login" then button(request)
    when "/auth/openid_connect/callback" then signed_in(env["omniauth.auth"], session)
    when "/me" then me(session)
    when "/refresh" then refresh(session)
    when "/auth/failure" then json({ error: "#{request.params["message"]}: #{env["omniauth.error"].inspect}" }, 500)
    else json({ error: "nothing is here" }, 404)
    end
  rescue StandardError => e
    json({ error: "#{e.class}: #{e.message}" }, 500)
  end

  private

  def json(body, status = 200)
    [status, { "content-type" => "application/json" }, [JSON.generate(body)]]
  end

  # OmniAuth begins with a POST of its own page alone.
  def button(request)
    acr = request.params["acr"]
    token = Rack::Protection::AuthenticityToken.token(request.session)
    page = <<~HTML
      <form method="post" action="/auth/openid_connect#{"?acr=#{acr}" if acr}">
      <input type="hidden" name="authenticity_token" value="#{token}"><button>Countersign</button></form>
    HTML
    [200, { "content-type" => "text/html" }, [page]]
  end

  def signed_in(auth, session)
    claims = auth.extra.raw_info.to_h
    acr = session.delete("acr")
    return json({ error: "acr is #{claims["acr"]}" }, 500) if acr && claims["acr"] != acr

    credentials = auth.credentials
    session["key"] = SecureRandom.hex(16)
    @tokens[session["key"]] = { access: credentials.token, refresh: credentials.refresh_token, claims: claims, uid: auth.uid }
    [302, { "location" => "/me" }, []]
  end

  def me(session)
    tokens = @tokens[session["key"]]
    return json({ error: "not signed in" }, 401) unless tokens

    # The strategy merges the two: what userinfo says, and the ID token over it.
    json({ claims: tokens[:claims], userinfo: tokens[:claims].merge(sub: tokens[:uid]), access_token: tokens[:access] })
  end

  # OmniAuth signs in and does no more; the gem below it refreshes.
  def refresh(session)
    tokens = @tokens.fetch(session["key"])
    config = OpenIDConnect::Discovery::Provider::Config.discover!(ISSUER)
    client = OpenIDConnect::Client.new(token_endpoint: config.token_endpoint, userinfo_endpoint: config.userinfo_endpoint, **CLIENT)
    client.refresh_token = tokens[:refresh]
    fresh = client.access_token!(client_auth_method: :basic)
    if fresh.id_token
      id_token = OpenIDConnect::ResponseObject::IdToken.decode(fresh.id_token, config.jwks)
      nonce = id_token.nonce && tokens[:claims]["nonce"]
      id_token.verify!(issuer: ISSUER, client_id: CLIENT[:identifier], nonce: nonce)
      tokens[:claims] = tokens[:claims].merge(id_token.raw_attributes)
    end
    tokens[:uid] = fresh.userinfo!.sub
    tokens.update(access: fresh.access_token, refresh: fresh.refresh_token || tokens[:refresh])
    me(session)
  end
end

step_up = lambda do |env|
  strategy = env["omniauth.strategy"]
  next unless strategy.on_request_path?

  acr = Rack::Request.new(env).params["acr"]
  Rack::Request.new(env).session["acr"] = acr
  claims = { id_token: { acr: { essential: true, values: [acr] } } }
  strategy.options.extra_authorize_params = { claims: JSON.generate(claims) } if acr
end

application = Rack::Builder.new do
  use Rack::Session::Cookie, secret: SecureRandom.hex(32), same_site: :lax, secure: true
  use OmniAuth::Builder do
    provider WithPkce, name: "openid_connect", issuer: ISSUER, discovery: true, client_auth_method: "basic",
             scope: %i[openid profile email groups offline_access], response_type: "code", uid_field: "sub", setup: step_up,
             client_options: CLIENT.merge(redirect_uri: "#{BASE}/auth/openid_connect/callback")
  end
  run Party.new
end

Rack::Handler::WEBrick.run(
  application,
  Host: "127.0.0.1", Port: URI(BASE).port, SSLEnable: true, AccessLog: [],
  SSLCertificate: OpenSSL::X509::Certificate.new(File.read(ENV.fetch("TLS_CERT"))),
  SSLPrivateKey: OpenSSL::PKey.read(File.read(ENV.fetch("TLS_KEY")))
)
