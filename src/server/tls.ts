/**
 * HTTPS with a certificate that can be replaced while connections are taken: those that are open keep the one they
 * began with.
 */
import { X509Certificate, createPrivateKey } from 'node:crypto'
import type { RequestListener, Server, ServerOptions } from 'node:http'
import { type Server as SecureServer, createServer } from 'node:https'
import { type SecureContextOptions, createSecureContext } from 'node:tls'
import { present } from '../base/assert.ts'
import { StratalogError } from '../base/errors.ts'
import { TLS_HANDSHAKE_MS } from './limits.ts'

export interface TlsCredentials {
  /** PEM: the certificate of the server, then those between it and the authority. */
  readonly cert: string
  /** PEM, without a passphrase. */
  readonly key: string
}

export class TlsListener {
  readonly #context: SecureContextOptions
  #server: SecureServer | null = null

  /** @throws StratalogError `config_invalid` for what is no certificate, no key, or no pair. */
  constructor(credentials: TlsCredentials) {
    this.#context = contextOf(credentials)
  }

  /** What `createServer` of `node:http` is without TLS; called once. */
  create(options: ServerOptions, listener: RequestListener): Server {
    const secure = { ...options, ...this.#context, handshakeTimeout: TLS_HANDSHAKE_MS }
    this.#server = createServer(secure, listener)
    return this.#server
  }

  /** Connections from now on get this certificate. @throws as the constructor; then the one of before stays. */
  renew(credentials: TlsCredentials): void {
    const server = present(this.#server, 'a server to renew the certificate of')
    server.setSecureContext(contextOf(credentials))
  }
}

function contextOf({ cert, key }: TlsCredentials): SecureContextOptions {
  const certificate = parsed('The certificate is none in PEM', () => new X509Certificate(cert))
  const privateKey = parsed('The key is no private key in PEM without a passphrase', () =>
    createPrivateKey(key),
  )
  if (!certificate.checkPrivateKey(privateKey))
    throw new StratalogError('config_invalid', 'The key is not the one of the certificate.')
  const context = { cert, key, minVersion: 'TLSv1.2' } as const
  parsed('The certificate and its key cannot be used', () => createSecureContext(context))
  return context
}

/** What OpenSSL says names functions of its own and nothing of the files. */
function parsed<T>(problem: string, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    throw new StratalogError('config_invalid', `${problem}.`, { cause: error })
  }
}
