/**
 * What the demo and its engine process say to each other: a line of JSON a message, requests on the child's standard
 * input, answers and acknowledgements on its standard output. One request at a time.
 */
import type { S3Options } from '../../engine/config.ts'
import type { Tier } from '../../format/manifest.ts'
import type { FlightSource } from './flights.ts'

export interface Place {
  readonly dataDir: string
  readonly archive: string
  readonly s3: S3Options | null
}

/** Every request with its answer. */
export interface Calls {
  /** Opens the engine on a clock that is `shiftMs` ahead; `create` makes the log. */
  readonly open: {
    readonly request: Place & { readonly shiftMs: number; readonly create: boolean }
    readonly answer: { readonly elapsedMs: number; readonly endOffset: number }
  }
  /** Appends records of the source up to number `to`. Each acknowledgement is told when it comes. */
  readonly load: {
    readonly request: {
      readonly source: FlightSource
      readonly total: number
      readonly to: number
      readonly batchRecords: number
    }
    readonly answer: { readonly elapsedMs: number }
  }
  /** Lets time pass and moves what comes due. */
  readonly age: {
    readonly request: { readonly ms: number }
    readonly answer: { readonly moves: number }
  }
  readonly tiers: {
    readonly request: object
    readonly answer: { readonly tiers: TierFacts; readonly requests: number }
  }
  readonly query: { readonly request: { readonly sql: string }; readonly answer: QueryAnswer }
  readonly snapshot: {
    readonly request: { readonly name: string }
    readonly answer: { readonly name: string }
  }
  /** Reads every record and hashes what is in it. */
  readonly hash: {
    readonly request: object
    readonly answer: { readonly records: number; readonly hash: string; readonly elapsedMs: number }
  }
  /** Brings everything to the archive. */
  readonly archive: {
    readonly request: object
    readonly answer: { readonly elapsedMs: number; readonly failed: number }
  }
  readonly restore: {
    readonly request: Place
    readonly answer: { readonly records: number; readonly elapsedMs: number }
  }
  /** Closes the engine and tells how many requests the object store got from this process. */
  readonly close: { readonly request: object; readonly answer: { readonly requests: number } }
}

export type CallName = keyof Calls

export interface TierFact {
  readonly records: number
  readonly bytes: number
}

export type TierFacts = Readonly<Record<Tier, TierFact>>

export interface QueryAnswer {
  readonly elapsedMs: number
  readonly recordsByTier: Readonly<Record<Tier, number>>
  readonly columns: readonly string[]
  readonly rows: readonly (readonly unknown[])[]
}

export interface RequestLine {
  readonly call: CallName
  readonly request: unknown
}

/** `acked`: all records below this number are acknowledged. */
export type AnswerLine =
  | { readonly kind: 'acked'; readonly acked: number }
  | { readonly kind: 'answer'; readonly answer: unknown }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string }
