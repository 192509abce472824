/**
 * Brings what an S3 client throws to the errors of the object-store port. Pure, and by the shape of
 * the error only, so that the SDK itself enters in one file.
 */
import { isStratalogError, StratalogError } from '../base/errors.ts'
import { objectCorrupt, objectExists, objectNotFound, storeUnavailable } from './store-errors.ts'

export interface S3ErrorContext {
  readonly url: string
  readonly bucket: string
  /** Null where the operation has no key, such as a listing. */
  readonly key: string | null
  /** Null for AWS itself. */
  readonly endpoint: string | null
}

/** Reasons for a refusal, with what a person does about each. */
const DENIED: Readonly<Record<string, string>> = {
  AccessDenied: 'these credentials may not do this; check the policy of the user and of the bucket',
  AccountProblem: 'the account has a problem; ask the provider',
  AllAccessDisabled: 'all access to the bucket is disabled',
  CredentialsProviderError:
    'no credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or s3.credentials',
  ExpiredToken: 'the session token has expired; renew it',
  ExpiredTokenException: 'the session token has expired; renew it',
  InvalidAccessKeyId:
    'the access key id is unknown there; check AWS_ACCESS_KEY_ID and the endpoint',
  InvalidToken: 'the session token is not valid; check AWS_SESSION_TOKEN',
  NotSignedUp: 'the account is not signed up for S3',
  RequestTimeTooSkewed: "the clock of this machine differs too much from the store's; set it (NTP)",
  SignatureDoesNotMatch:
    'the secret access key is wrong for this access key id; check AWS_SECRET_ACCESS_KEY',
  TokenProviderError: 'no valid SSO token was found; sign in again',
}

/** Answers of a store that another try may change, beside every 5xx and 429. */
const TRANSIENT: ReadonlySet<string> = new Set([
  'BadDigest',
  'ConditionalRequestConflict',
  'IncompleteBody',
  'InternalError',
  // A put in parts that somebody gave up, or whose parts are gone: it begins anew.
  'InvalidPart',
  'NoSuchUpload',
  'OperationAborted',
  'RequestTimeout',
  'RequestTimeoutException',
  'ServiceUnavailable',
  'SlowDown',
  'Throttling',
  'ThrottlingException',
  'TimeoutError',
  'TooManyRequests',
  'XAmzContentSHA256Mismatch',
])

const WRONG_REGION: ReadonlySet<string> = new Set([
  'AuthorizationHeaderMalformed',
  'IllegalLocationConstraintException',
  'PermanentRedirect',
])

export function s3Error(error: unknown, context: S3ErrorContext): StratalogError {
  if (isStratalogError(error)) return error
  const name = error instanceof Error ? error.name : 'Error'
  const status = httpStatusOf(error)
  if (name === 'NoSuchBucket') return bucketNotFound(context, error)
  if (name === 'InvalidObjectState' && context.key !== null)
    return offline(context, context.key, error)
  if (DENIED[name] !== undefined || status === 401 || status === 403)
    return denied(name, context, error)
  if (WRONG_REGION.has(name) || status === 301 || isRegionMissing(error))
    return wrongRegion(error, context)
  if (
    TRANSIENT.has(name) ||
    status === null ||
    status === 429 ||
    (status >= 500 && status !== 501)
  ) {
    return storeUnavailable(context.url, describe(error, status), error)
  }
  if (context.key === null)
    return status === 404 ? bucketNotFound(context, error) : unsupported(error, status, context)
  if (status === 404) return objectNotFound(context.url, context.key, error)
  if (status === 409 || status === 412) return objectExists(context.url, context.key, error)
  if (status === 416)
    return objectCorrupt(context.url, context.key, 'it does not have the bytes that were asked for')
  return unsupported(error, status, context)
}

/**
 * The HTTP status of an error that came with an answer; null when there was none (refused, reset,
 * timed out).
 */
export function httpStatusOf(error: unknown): number | null {
  const metadata = error instanceof Error && '$metadata' in error ? error.$metadata : null
  if (typeof metadata !== 'object' || metadata === null || !('httpStatusCode' in metadata))
    return null
  return typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : null
}

function bucketNotFound(context: S3ErrorContext, cause: unknown): StratalogError {
  const endpoint = context.endpoint === null ? '' : ` --endpoint-url ${context.endpoint}`
  const command = `aws${endpoint} s3 mb s3://${context.bucket}`
  return new StratalogError(
    'bucket_not_found',
    `The bucket ${context.bucket} of ${context.url} does not exist${context.endpoint === null ? '' : ` at ${context.endpoint}`}. Create it, for example: ${command}`,
    {
      cause,
      details: { url: context.url, bucket: context.bucket, endpoint: context.endpoint, command },
    },
  )
}

function denied(name: string, context: S3ErrorContext, cause: unknown): StratalogError {
  const reason =
    DENIED[name] ?? 'access is forbidden; check the credentials, their policy and the bucket'
  return new StratalogError(
    'store_denied',
    `The object store ${context.url} refused: ${reason} (${name}).`,
    {
      cause,
      details: { url: context.url, key: context.key, reason: name },
    },
  )
}

/** In a storage class such as Glacier, into which a rule of the bucket has moved it. */
function offline({ url, bucket }: S3ErrorContext, key: string, cause: unknown): StratalogError {
  return new StratalogError(
    'object_offline',
    `The object ${key} of ${url} lies in a storage class that cannot be read at once. Restore it (aws s3api restore-object), and keep the rules of bucket ${bucket} from moving objects there; docs/object-stores.md says which classes serve.`,
    { cause, details: { url, key } },
  )
}

function wrongRegion(cause: unknown, context: S3ErrorContext): StratalogError {
  const region =
    cause instanceof Error && 'Region' in cause && typeof cause.Region === 'string'
      ? cause.Region
      : null
  const advice =
    region === null
      ? 'set s3.region (AWS_REGION) to the region of the bucket'
      : `set s3.region (AWS_REGION) to ${region}`
  return new StratalogError(
    'config_invalid',
    `The bucket ${context.bucket} is not in the region asked: ${advice}.`,
    {
      cause,
      details: { url: context.url, bucket: context.bucket, region },
    },
  )
}

function unsupported(error: unknown, status: number, context: S3ErrorContext): StratalogError {
  return new StratalogError(
    'store_unsupported',
    `The object store ${context.url} does not do what was asked: ${describe(error, status)}.`,
    { cause: error, details: { url: context.url, key: context.key, status } },
  )
}

function isRegionMissing(error: unknown): boolean {
  return error instanceof Error && error.message === 'Region is missing'
}

function describe(error: unknown, status: number | null): string {
  const name = error instanceof Error ? error.name : 'Error'
  const message = error instanceof Error ? error.message : String(error)
  const code = error instanceof Error && 'code' in error ? String(error.code) : name
  const parts = [
    status === null ? null : `HTTP ${status}`,
    code === 'Error' ? null : code,
    message === '' ? null : message,
  ]
  return parts.filter((part) => part !== null).join(', ')
}
