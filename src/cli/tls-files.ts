/** The certificate and the key that a server is given as files, read again at SIGHUP. */
import { readFile } from 'node:fs/promises'
import process from 'node:process'
import { StratalogError, toStratalogError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { type TlsCredentials, TlsListener } from '../server/tls.ts'

export class TlsFiles {
  readonly listener: TlsListener
  readonly #cert: string
  readonly #key: string

  private constructor(cert: string, key: string, credentials: TlsCredentials) {
    this.#cert = cert
    this.#key = key
    this.listener = this.#naming(() => new TlsListener(credentials))
  }

  /** @throws StratalogError `file_not_found`, `config_invalid`; their messages name the files. */
  static async open(cert: string, key: string): Promise<TlsFiles> {
    return new TlsFiles(cert, key, await readPair(cert, key))
  }

  /** Reads the files again at SIGHUP, until the function is called. What is wrong with the new ones is logged. */
  renewOnHangup(logger: Logger): () => void {
    let renewing = Promise.resolve()
    const onHangup = (): void => {
      renewing = renewing.then(() => this.#renew(logger))
    }
    process.on('SIGHUP', onHangup)
    return () => process.off('SIGHUP', onHangup)
  }

  async #renew(logger: Logger): Promise<void> {
    try {
      const credentials = await readPair(this.#cert, this.#key)
      this.#naming(() => this.listener.renew(credentials))
      logger.info('the certificate was read again', {})
    } catch (error) {
      const { code, message } = toStratalogError(error)
      logger.error('the certificate stays the one of before', { code, reason: message })
    }
  }

  #naming<T>(use: () => T): T {
    const cert = this.#cert
    const key = this.#key
    try {
      return use()
    } catch (error) {
      const { code, message } = toStratalogError(error)
      throw new StratalogError(code, `${message} The files are ${cert} and ${key}.`, {
        cause: error,
        details: { cert, key },
      })
    }
  }
}

async function readPair(cert: string, key: string): Promise<TlsCredentials> {
  return { cert: await read('certificate', cert), key: await read('key', key) }
}

async function read(what: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new StratalogError(
      'file_not_found',
      `The ${what} ${path} cannot be read: ${(error as Error).message}.`,
      { cause: error, details: { path } },
    )
  }
}
