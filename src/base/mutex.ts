/** Runs asynchronous sections one at a time, in the order they asked. A section that throws does not block the next. */
export class Mutex {
  #last: Promise<unknown> = Promise.resolve()

  run<T>(section: () => Promise<T>): Promise<T> {
    const result = this.#last.then(section, section)
    this.#last = result.catch(() => {})
    return result
  }
}
