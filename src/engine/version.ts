import { readFileSync } from 'node:fs'

/** The version in package.json, which lies beside the `src` or `dist` that this file is part of. */
export const PACKAGE_VERSION: string = readVersion()

function readVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  const value: unknown = JSON.parse(text)
  const version = (value as { readonly version?: unknown }).version
  return typeof version === 'string' ? version : 'unknown'
}
