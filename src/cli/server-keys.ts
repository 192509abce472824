/** What `serve` takes beside the keys of the engine: flags, and keys of the same names in the file of `--config`. */
import { tryParseDuration } from '../base/units.ts'
import type { ConfigProblem } from '../engine/config-error.ts'

export interface ServerKeys {
  readonly host?: string
  readonly port?: number
  readonly memoryOnly?: boolean
  readonly allowHost?: string | readonly string[]
  readonly tokens?: string
  readonly rateLimit?: number
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly jobArchives?: string | readonly string[]
  readonly jobDir?: string
  readonly jobHosts?: string | readonly string[]
  readonly jobPrivateHosts?: boolean
  readonly drillInterval?: string | number
  readonly drillSample?: number
  readonly drillReports?: string
  /** Whose form is looked at where it is used. */
  readonly corsOrigin?: unknown
}

interface Rule {
  readonly allowed: string
  readonly isAllowed: (value: unknown) => boolean
}

const isText = (value: unknown): boolean => typeof value === 'string' && value !== ''
const isWhole = (value: unknown, from: number, to: number): boolean =>
  Number.isSafeInteger(value) && Number(value) >= from && Number(value) <= to

const text: Rule = { allowed: 'text that is not empty', isAllowed: isText }
const flag: Rule = {
  allowed: 'true or false',
  isAllowed: (value) => typeof value === 'boolean',
}
const texts: Rule = {
  allowed: 'a name, or a list of names',
  isAllowed: (value) => isText(value) || (Array.isArray(value) && value.every(isText)),
}

const RULES: { readonly [Key in keyof ServerKeys]-?: Rule } = {
  host: text,
  port: {
    allowed: 'a port from 0 to 65535',
    isAllowed: (value) => isWhole(value, 0, 65_535),
  },
  memoryOnly: flag,
  allowHost: texts,
  tokens: text,
  rateLimit: {
    allowed: 'a whole number above 0',
    isAllowed: (value) => isWhole(value, 1, Number.MAX_SAFE_INTEGER),
  },
  tlsCert: text,
  tlsKey: text,
  jobArchives: texts,
  jobDir: text,
  jobHosts: texts,
  jobPrivateHosts: flag,
  drillInterval: {
    allowed: "a duration: ms as a number, or text like '90s', '1h', '7d'",
    isAllowed: (value) => tryParseDuration(value) !== null,
  },
  drillSample: {
    allowed: 'a number above 0 and at most 1',
    isAllowed: (value) => typeof value === 'number' && value > 0 && value <= 1,
  },
  drillReports: text,
  corsOrigin: { allowed: 'an origin, or a list of origins', isAllowed: () => true },
}

export const SERVER_KEYS: readonly string[] = Object.keys(RULES)

type Given = Readonly<Record<string, unknown>>

/** What file and flags give, in two: what the server takes, not validated, and all the rest. A flag wins. */
export function splitServerKeys(given: Given, flags: Given): { server: Given; rest: Given } {
  const isServers = ([key]: readonly [string, unknown]): boolean => Object.hasOwn(RULES, key)
  const entries = Object.entries(given)
  const fromFlags = Object.entries(flags).filter(
    (entry) => isServers(entry) && entry[1] !== undefined,
  )
  return {
    server: Object.fromEntries([...entries.filter(isServers), ...fromFlags]),
    rest: Object.fromEntries(entries.filter((entry) => !isServers(entry))),
  }
}

/** Every problem of a key by itself; with none, what was given is of `ServerKeys`. */
export function serverProblems(server: Given): readonly ConfigProblem[] {
  return Object.entries(RULES).flatMap(([path, { allowed, isAllowed }]) => {
    const given = server[path]
    return given === undefined || isAllowed(given) ? [] : [{ path, given, allowed }]
  })
}
