/**
 * `stratalog.json`: what a data directory or an archive says of itself, written once when it is made. It is how a
 * foreign directory is told from ours before anything in it is touched, and which engine it belongs to.
 *
 *     {"stratalog":"directory","formatVersion":1,"engineId":"<1 to 64 of a-z, 0-9, ->"}\n
 */
import { StratalogError } from '../base/errors.ts'
import { JsonFields, parseJson } from './json-fields.ts'
import { IDENTITY_FILE } from './paths.ts'

export const IDENTITY_FORMAT_VERSION: number = 1

const IDENTITY_BYTES_MAX = 4096

export interface Identity {
  readonly kind: 'directory' | 'archive'
  readonly engineId: string
}

export function encodeIdentity(identity: Identity): Uint8Array {
  const { kind, engineId } = identity
  return Buffer.from(
    `${JSON.stringify({ stratalog: kind, formatVersion: IDENTITY_FORMAT_VERSION, engineId })}\n`,
  )
}

/**
 * @param where the directory or URL, for the message.
 * @throws StratalogError `directory_foreign` when the bytes are no identity, `format_unsupported` when they are one of
 * a version that this program does not know.
 */
export function decodeIdentity(bytes: Uint8Array, where: string): Identity {
  const fail = (reason: string): never => {
    throw new StratalogError(
      'directory_foreign',
      `${where} is not a Stratalog directory: ${IDENTITY_FILE}: ${reason}.`,
      {
        details: { where, reason },
      },
    )
  }
  if (bytes.length > IDENTITY_BYTES_MAX) fail(`it has ${bytes.length} bytes`)
  const fields = new JsonFields(parseJson(bytes, fail), '', fail)
  const kind = fields.oneOf('stratalog', ['directory', 'archive'])
  const version = fields.integer('formatVersion')
  if (version !== IDENTITY_FORMAT_VERSION) {
    throw new StratalogError(
      'format_unsupported',
      `${where} has format version ${version}; this program knows 1.`,
      {
        details: { where, given: version, known: [IDENTITY_FORMAT_VERSION] },
      },
    )
  }
  const engineId = fields.text('engineId')
  if (!isEngineId(engineId)) fail('engineId is not an engine id')
  fields.end()
  return { kind, engineId }
}

export function isEngineId(value: string): boolean {
  return /^[a-z0-9-]{1,64}$/.test(value)
}
