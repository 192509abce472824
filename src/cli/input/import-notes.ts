/**
 * The file in which an import notes how far it is, so that one that broke off goes on there, each record once.
 *
 * 1. Before an append, where it ends in its input is noted, and the sequence under which a producer sends it.
 * 2. A break leaves the log with that append or without it: nobody knows.
 * 3. Who goes on sends the same records under the same sequence again: the log takes them once.
 *
 * A place in an input is the number of a line, or how many rows lie before it.
 */
import { readFile } from 'node:fs/promises'
import { StratalogError } from '../../base/errors.ts'
import { type Random, randomHex } from '../../base/random.ts'
import type { Producer } from '../../format/producer.ts'
import { errnoOf } from '../../storage/file-errors.ts'
import { replaceFile } from '../replace-file.ts'

export interface NotedInput {
  readonly name: string
  readonly bytes: number
}

interface Notes {
  readonly log: string
  readonly inputs: readonly NotedInput[]
  readonly producerId: string
  /** Which of the inputs; those before it are in the log. */
  readonly input: number
  /** What lies before this place is in the log, or was rejected. */
  readonly from: number
  /** The end of the append that may be there; null: none is under way. */
  readonly to: number | null
  readonly sequence: number
}

/** What an input begins with that was begun before. */
export interface Unfinished {
  readonly from: number
  readonly to: number | null
}

export class ImportNotes {
  readonly #path: string
  #notes: Notes

  private constructor(path: string, notes: Notes) {
    this.#path = path
    this.#notes = notes
  }

  /** @throws StratalogError `input_invalid` for a file that is none, or of another import. */
  static async open(
    path: string,
    log: string,
    inputs: readonly NotedInput[],
    random: Random,
  ): Promise<ImportNotes> {
    const text = await readFile(path, 'utf8').catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return null
      throw notesInvalid(path, (error as Error).message, error)
    })
    if (text === null) {
      const producerId = `import-${randomHex(random, 16)}`
      return new ImportNotes(path, {
        log,
        inputs,
        producerId,
        input: 0,
        from: 0,
        to: null,
        sequence: 0,
      })
    }
    const notes = parseNotes(text)
    if (notes === null) throw notesInvalid(path, 'it is not the resume file of an import')
    const asked = JSON.stringify({ log, inputs })
    if (JSON.stringify({ log: notes.log, inputs: notes.inputs }) !== asked)
      throw notesInvalid(path, 'it is of an import of other files, or into another log')
    return new ImportNotes(path, notes)
  }

  /** Whether all of an input is in the log. */
  isDone(input: number): boolean {
    return input < this.#notes.input
  }

  /** Where the input that is next was left. */
  get unfinished(): Unfinished {
    const { from, to } = this.#notes
    return { from, to }
  }

  /** Notes that what lies before `to` is about to be appended; resolves with what makes that harmless to repeat. */
  async intend(to: number): Promise<Producer> {
    await this.#write({ ...this.#notes, to })
    const { producerId, sequence } = this.#notes
    return { producerId, epoch: 0, sequence }
  }

  /** The append of which was said so is acknowledged. Is written with what comes next. */
  appended(): void {
    const { to, from, sequence } = this.#notes
    this.#notes = { ...this.#notes, from: to ?? from, to: null, sequence: sequence + 1 }
  }

  /** What lies before `to` is rejected, and will not come. */
  passed(to: number): void {
    this.#notes = { ...this.#notes, from: to, to: null }
  }

  async finished(): Promise<void> {
    await this.#write({ ...this.#notes, input: this.#notes.input + 1, from: 0, to: null })
  }

  async #write(notes: Notes): Promise<void> {
    this.#notes = notes
    await replaceFile(this.#path, `${JSON.stringify({ format: FORMAT, ...notes })}\n`)
  }
}

const FORMAT = 'stratalog-import-1'

function parseNotes(text: string): Notes | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return null
  }
  const { format, ...notes } = Object(value) as Partial<Notes> & { readonly format?: unknown }
  const { log, inputs, producerId, input, from, to, sequence } = notes
  const counts = [input, from, sequence, to ?? 0]
  const areCounts = counts.every((count) => Number.isSafeInteger(count) && Number(count) >= 0)
  const isOurs = format === FORMAT && typeof log === 'string' && typeof producerId === 'string'
  return isOurs && areCounts && Array.isArray(inputs) ? (notes as Notes) : null
}

function notesInvalid(path: string, reason: string, cause?: unknown): StratalogError {
  return new StratalogError('input_invalid', `${path} cannot be gone on with: ${reason}.`, {
    ...(cause === undefined ? {} : { cause }),
    details: { path },
  })
}
