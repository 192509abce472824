/**
 * How to reach an S3 store, from settings and environment. Values only; the SDK is not loaded to
 * read them.
 */
import { StratalogError } from '../base/errors.ts'

export interface S3Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

/**
 * What a user may set; each key left out comes from the environment, then from the SDK's own chain.
 */
export interface S3Settings {
  /** Base URL of an S3-compatible store, such as `http://127.0.0.1:9000`; left out for AWS. */
  readonly endpoint?: string
  readonly region?: string
  /**
   * Bucket in the path instead of in the host name. Default: true for an endpoint that is not AWS.
   */
  readonly forcePathStyle?: boolean
  readonly credentials?: S3Credentials
}

/** Environment variables, handed in by who may read them. */
export type Environment = Readonly<Record<string, string | undefined>>

export interface S3Connection {
  /** Null: AWS, by region. */
  readonly endpoint: string | null
  readonly isAws: boolean
  /** Null: from the SDK's own chain. */
  readonly region: string | null
  readonly forcePathStyle: boolean
  /** Null: from the SDK's own chain (profiles, SSO, instance and container roles). */
  readonly credentials: S3Credentials | null
  readonly profile: string | null
}

/**
 * Where a store is not AWS, the region is only part of the signature; this is what most of them
 * expect.
 */
const REGION_ELSEWHERE = 'us-east-1'

const AWS_HOST_PATTERN = /(?:^|\.)(?:amazonaws\.com|amazonaws\.com\.cn|api\.aws)$/

/** @throws StratalogError `config_invalid` when the endpoint is no http(s) URL. */
export function resolveS3Connection(settings: S3Settings, environment: Environment): S3Connection {
  const endpoint =
    settings.endpoint ??
    nonEmpty(environment['AWS_ENDPOINT_URL_S3']) ??
    nonEmpty(environment['AWS_ENDPOINT_URL']) ??
    null
  const isAws = endpoint === null || AWS_HOST_PATTERN.test(parseEndpoint(endpoint).hostname)
  return {
    endpoint,
    isAws,
    region:
      settings.region ?? nonEmpty(environment['AWS_REGION']) ?? (isAws ? null : REGION_ELSEWHERE),
    forcePathStyle: settings.forcePathStyle ?? !isAws,
    credentials: settings.credentials ?? environmentCredentials(environment),
    profile: nonEmpty(environment['AWS_PROFILE']) ?? null,
  }
}

function environmentCredentials(environment: Environment): S3Credentials | null {
  const accessKeyId = nonEmpty(environment['AWS_ACCESS_KEY_ID'])
  const secretAccessKey = nonEmpty(environment['AWS_SECRET_ACCESS_KEY'])
  if (accessKeyId === undefined || secretAccessKey === undefined) return null
  const sessionToken = nonEmpty(environment['AWS_SESSION_TOKEN'])
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) }
}

function parseEndpoint(endpoint: string): URL {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : null
  if (
    url !== null &&
    (url.protocol === 'http:' || url.protocol === 'https:') &&
    url.username === ''
  )
    return url
  throw new StratalogError(
    'config_invalid',
    `The S3 endpoint is not an http:// or https:// URL without credentials in it; give one such as http://127.0.0.1:9000.`,
    { details: { path: 's3.endpoint' } },
  )
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === undefined || value.trim() === '' ? undefined : value
}
