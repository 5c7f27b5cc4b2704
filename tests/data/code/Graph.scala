package graphs

import scala.collection.mutable.{Map, Set => MSet}
import java.io._

/** A graph of nodes. */
class Graph[T](nodes: Seq[T]) extends Base[T] with Serializable {
  val size = nodes.length

  // Visits all.
  def visit(f: T => Unit): Unit = {
    nodes.foreach(f)
    helper(size)
  }
}

trait Visitor {
  def enter(): Unit
}

object Graph {
  def empty: Graph[Int] = new Graph(Nil)
}
