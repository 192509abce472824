/** What `replay` is asked for, and that as a server is asked for it. */
import { StratalogError } from '../base/errors.ts'
import type { ReplayJob } from '../engine/job-request.ts'
import type { ReplaySpeed } from '../replay/pace.ts'
import type { FlagValues } from './config-flags.ts'
import type { ReplayFormat } from './output/replay-output.ts'

export interface ReplayFlags extends FlagValues {
  readonly logs?: readonly string[]
  readonly since?: number
  readonly until?: number
  readonly from?: number
  readonly to?: number
  readonly speed: ReplaySpeed
  readonly stepRecords?: number
  readonly into?: string
  readonly intoHosts?: readonly string[]
  readonly intoPrivate?: true
  readonly format?: ReplayFormat
  readonly resume?: string
  readonly archive?: string
}

/** @throws StratalogError `argument_invalid` for what only a replay on this machine does. */
export function replayJob(flags: ReplayFlags): ReplayJob {
  const { archive, logs, since, until, from, to, speed, into } = flags
  const here = (['format', 'intoHosts', 'intoPrivate', 'stepRecords', 'resume'] as const).find(
    (name) => flags[name] !== undefined,
  )
  if (here !== undefined || speed === 'stepped') throw onlyHere(here ?? 'speed stepped')
  const range = { archive, logs, since, until, from, to, speed }
  if (into === undefined || into === 'engine') return { kind: 'replay', ...range, into }
  if (/^https?:\/\//i.test(into)) return { kind: 'replay', ...range, into: { url: into } }
  throw new StratalogError(
    'argument_invalid',
    `With --url, --into takes 'engine', http://… or https://…; got ${into}.`,
  )
}

function onlyHere(name: string): StratalogError {
  const flag = name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
  return new StratalogError(
    'argument_invalid',
    `--${flag} goes without --url: it is for a replay on this machine.`,
  )
}
