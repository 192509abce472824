/**
 * The file in which a replay notes how far it is, so that one that was killed goes on there. It is replaced as a whole,
 * about once a second: what was given out since comes again, unless the sink knows that it has it.
 */
import { readFile } from 'node:fs/promises'
import { StratalogError } from '../base/errors.ts'
import { replaceFile } from './replace-file.ts'
import { isResumePoint } from '../replay/resume-point.ts'
import type { ResumePoint } from '../replay/report.ts'

const WRITE_EVERY_MS = 1_000

const NOTHING_YET: ResumePoint = { logs: [] }

export class ResumeFile {
  readonly #path: string
  readonly #now: () => number
  #writtenMs: number
  #writing: Promise<void> = Promise.resolve()
  #isWriting = false

  private constructor(path: string, now: () => number) {
    this.#path = path
    this.#now = now
    this.#writtenMs = now()
  }

  /**
   * The file and what it says. A new one is written before anything is replayed: that it is there means that logs of
   * the target may be of this replay.
   * @param now monotonic, ms.
   * @throws StratalogError `input_invalid`.
   */
  static async open(
    path: string,
    now: () => number,
  ): Promise<{ readonly file: ResumeFile; readonly point: ResumePoint | undefined }> {
    const point = await readResumePoint(path)
    const file = new ResumeFile(path, now)
    if (point === undefined) await file.write(NOTHING_YET)
    return { file, point }
  }

  /** Notes the point when it is time to. */
  note(point: () => ResumePoint): void {
    if (this.#isWriting || this.#now() - this.#writtenMs < WRITE_EVERY_MS) return
    const written = this.write(point())
    written.catch(() => {})
  }

  /** @throws StratalogError `file_system_failed`. */
  async write(point: ResumePoint): Promise<void> {
    this.#isWriting = true
    const earlier = this.#writing
    this.#writing = earlier.then(() => this.#replace(point))
    try {
      await this.#writing
    } finally {
      this.#writing = Promise.resolve()
      this.#isWriting = false
      this.#writtenMs = this.#now()
    }
  }

  async #replace(point: ResumePoint): Promise<void> {
    await replaceFile(this.#path, `${JSON.stringify(point)}\n`)
  }
}

async function readResumePoint(path: string): Promise<ResumePoint | undefined> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return null
    throw new StratalogError('input_invalid', `${path} cannot be read: ${message}.`, {
      cause: error,
    })
  })
  if (text === null) return undefined
  const point = parsed(text)
  if (isResumePoint(point)) return point
  throw new StratalogError('input_invalid', `${path} is not the resume point of a replay.`)
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
