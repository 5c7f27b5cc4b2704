"""A typed client of the service: ``Client``, and ``AsyncClient`` for event loops; docs/rest.md#python."""

from openbook.client.asynchronous import AsyncClient as AsyncClient
from openbook.client.blocking import Client as Client
from openbook.client.models import Collection as Collection
from openbook.client.models import Context as Context
from openbook.client.models import Conversation as Conversation
from openbook.client.models import DocumentPage as DocumentPage
from openbook.client.models import Job as Job
from openbook.client.models import JobView as JobView
from openbook.client.models import Piece as Piece
from openbook.client.models import Reading as Reading
from openbook.client.models import Removal as Removal
from openbook.client.models import Transcript as Transcript
from openbook.client.models import Waiting as Waiting
from rag.error import RagError as RagError
from rag.question import Filter as Filter
from rag.types import Answer as Answer
from rag.types import Document as Document
from rag.types import Hit as Hit
