/** What a job may be asked for, as JSON: a restore, a replay or a drill. Every problem is reported at once. */
import * as v from 'valibot'
import { StratalogError } from '../base/errors.ts'
import { parseTime } from '../base/units.ts'

type Time = string | number

/** Into the engine, or with `directory` into a new data directory of that name; with `plan` nowhere. */
export interface RestoreJob {
  readonly kind: 'restore'
  readonly archive?: string | undefined
  readonly snapshot?: string | undefined
  readonly at?: Time | undefined
  readonly toOffsets?:
    | readonly { readonly log: string; readonly partition: number; readonly offset: number }[]
    | undefined
  readonly logs?: readonly string[] | undefined
  readonly rename?: Readonly<Record<string, string>> | undefined
  readonly eager?: boolean | undefined
  readonly plan?: boolean | undefined
  readonly directory?: string | undefined
}

/** Into the engine, to an endpoint, or nowhere. */
export interface ReplayJob {
  readonly kind: 'replay'
  readonly archive?: string | undefined
  readonly logs?: readonly string[] | undefined
  readonly since?: Time | undefined
  readonly until?: Time | undefined
  readonly from?: number | undefined
  readonly to?: number | undefined
  readonly speed?: 'max' | 'realtime' | number | undefined
  readonly into?: 'engine' | { readonly url: string } | undefined
  /** Goes on with logs that an earlier replay into the engine made. */
  readonly resume?: boolean | undefined
}

export interface DrillJob {
  readonly kind: 'drill'
  readonly archive?: string | undefined
  /** Whether it is held against the live engine. */
  readonly against?: boolean | undefined
  readonly sample?: number | undefined
  readonly checks?: readonly { readonly sql: string; readonly expected: unknown }[] | undefined
}

/** What may be undefined is as if it were left out. */
export type JobRequest = RestoreJob | ReplayJob | DrillJob

const text = v.pipe(v.string('text'), v.nonEmpty('text that is not empty'))
const flag = v.boolean('true or false')
const names = v.array(text, 'an array of names')
const offset = v.custom<number>(isWhole, 'a whole number, 0 or more')
const time = v.custom<string | number>(isTime, 'a time: ISO 8601, or ms since 1970')
const sample = v.custom<number>(
  (value) => typeof value === 'number' && value > 0 && value <= 1,
  'a number above 0 and at most 1',
)
const speed = v.custom<'max' | 'realtime' | number>(
  (value) =>
    value === 'max' ||
    value === 'realtime' ||
    (typeof value === 'number' && Number.isFinite(value) && value > 0),
  `'max', 'realtime', or a number above 0`,
)

/** The name of a new directory: never a path. */
const directory = v.pipe(
  v.string('text'),
  v.regex(/^[a-z0-9][a-z0-9._-]{0,127}$/, 'a name of a-z, 0-9, ".", "_" and "-", and no path'),
)

const restoreEntries = {
  kind: v.literal('restore'),
  archive: v.optional(text),
  snapshot: v.optional(text),
  at: v.optional(time),
  toOffsets: v.optional(
    v.array(v.strictObject({ log: text, partition: offset, offset }), 'an array'),
  ),
  logs: v.optional(names),
  rename: v.optional(v.record(v.string(), text, 'new names by old ones')),
  eager: v.optional(flag),
  plan: v.optional(flag),
  directory: v.optional(directory),
}

const replayEntries = {
  kind: v.literal('replay'),
  archive: v.optional(text),
  logs: v.optional(names),
  since: v.optional(time),
  until: v.optional(time),
  from: v.optional(offset),
  to: v.optional(offset),
  speed: v.optional(speed),
  into: v.optional(
    v.union([v.literal('engine'), v.strictObject({ url: text })], `'engine' or {url}`),
  ),
  resume: v.optional(flag),
}

const drillEntries = {
  kind: v.literal('drill'),
  archive: v.optional(text),
  against: v.optional(flag),
  sample: v.optional(sample),
  checks: v.optional(
    v.array(v.strictObject({ sql: text, expected: v.unknown() }), 'an array of {sql, expected}'),
  ),
}

const schemas = {
  restore: v.strictObject(restoreEntries),
  replay: v.strictObject(replayEntries),
  drill: v.strictObject(drillEntries),
}
/** For messages about unknown ones. */
const KEYS: Readonly<Record<JobKind, readonly string[]>> = {
  restore: Object.keys(restoreEntries),
  replay: Object.keys(replayEntries),
  drill: Object.keys(drillEntries),
}

export type JobKind = JobRequest['kind']

/** @throws StratalogError `argument_invalid` with every problem. */
export function validateJob(value: unknown): JobRequest {
  const { kind } = Object(value) as Readonly<Record<string, unknown>>
  if (kind !== 'restore' && kind !== 'replay' && kind !== 'drill')
    throw invalid([{ path: 'kind', allowed: `'restore', 'replay' or 'drill'` }])
  const result = v.safeParse(schemas[kind], value)
  if (result.success) return result.output
  throw invalid(result.issues.map((issue) => problemOf(issue, kind)))
}

interface JobProblem {
  readonly path: string
  readonly allowed: string
}

function problemOf(issue: v.BaseIssue<unknown>, kind: JobKind): JobProblem {
  const path = (issue.path ?? []).map(({ key }) => String(key)).join('.')
  if (issue.type !== 'strict_object') return { path, allowed: issue.message }
  if (issue.expected !== 'never') return { path, allowed: 'an object with all of its keys' }
  const keys = path.includes('.') ? '' : `; the keys are ${KEYS[kind].join(', ')}`
  return { path, allowed: `no such key${keys}` }
}

function invalid(problems: readonly JobProblem[]): StratalogError {
  const lines = problems.map(({ path, allowed }) => `${path}: expected ${allowed}`)
  return new StratalogError('argument_invalid', `This is no job. ${lines.join('. ')}.`, {
    details: { problems },
  })
}

function isWhole(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

function isTime(value: unknown): boolean {
  if (typeof value !== 'string' && typeof value !== 'number') return false
  try {
    parseTime(value)
    return true
  } catch {
    return false
  }
}
